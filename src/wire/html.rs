//! HTML as a lens: forms with their fields, meta tags, attributes, scripts. What a page offers to the next request.

use html5gum::{DefaultEmitter, Token, Tokenizer};

/// What kind of control a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FieldKind {
    /// `<input type=hidden>`: the page, not the person, decides its value.
    Hidden,
    /// `<input type=password>`.
    Password,
    /// A button with a name.
    Button,
    /// A box to tick: there may be one in each row of a list.
    Choice,
    /// Anything a person may change.
    Open,
}

/// A named control of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its value as rendered.
    pub value: String,
    /// What it is.
    pub kind: FieldKind,
}

/// A form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// `action` as written; empty means the page itself.
    pub action: String,
    /// `id`, or `name`.
    pub id: String,
    /// Lower case; `get` when not given.
    pub method: String,
    /// Controls in page order.
    pub fields: Vec<Field>,
}

/// An attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Element, lower case.
    pub tag: String,
    /// `id` of the element, or empty.
    pub id: String,
    /// Name, lower case.
    pub name: String,
    /// Value with entities undone.
    pub value: String,
}

/// What a page holds, in page order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Forms.
    pub forms: Vec<Form>,
    /// Controls outside any form.
    pub loose_fields: Vec<Field>,
    /// `<meta name|property|http-equiv content>`.
    pub metas: Vec<(String, String)>,
    /// All attributes except those of form controls, `meta`, and the presentational ones (`class`, `style` …).
    pub attributes: Vec<Attribute>,
    /// Texts of inline scripts.
    pub scripts: Vec<String>,
    /// `<title>`.
    pub title: String,
}

impl Page {
    /// All fields with the form they stand in, loose ones last.
    pub fn fields(&self) -> impl Iterator<Item = (Option<&Form>, &Field)> {
        let inside = self.forms.iter().flat_map(|form| form.fields.iter().map(move |field| (Some(form), field)));
        inside.chain(self.loose_fields.iter().map(|field| (None, field)))
    }

    /// Whether it asks for a password.
    pub fn asks_password(&self) -> bool {
        self.fields().any(|(_, field)| field.kind == FieldKind::Password)
    }
}

/// Attributes that never carry a value a request needs.
const PRESENTATIONAL: &[&str] =
    &["class", "style", "width", "height", "rel", "type", "lang", "dir", "role", "tabindex", "alt", "charset", "media"];

/// Parses a page. Broken markup is read as browsers' tokenizers read it; this never fails.
pub fn parse(html: &str) -> Page {
    let mut emitter = DefaultEmitter::default();
    emitter.naively_switch_states(true);
    let mut builder = Builder::default();
    for token in Tokenizer::new_with_emitter(html, emitter) {
        let Ok(token) = token;
        match token {
            Token::StartTag(tag) => {
                let attributes: Vec<(String, String)> = tag
                    .attributes
                    .iter()
                    .map(|(name, value)| (lossy(name).to_ascii_lowercase(), lossy(value)))
                    .collect();
                builder.start(&lossy(&tag.name), &attributes);
            }
            Token::EndTag(tag) => builder.end(&lossy(&tag.name)),
            Token::String(text) => builder.text(&text),
            Token::Comment(_) | Token::Doctype(_) | Token::Error(_) => {}
        }
    }
    builder.finish()
}

/// The text of a fragment: tags dropped, entities undone.
pub fn plain_text(html: &str) -> String {
    let mut out = String::new();
    for token in Tokenizer::new(html) {
        let Ok(token) = token;
        if let Token::String(text) = token {
            out.push_str(&lossy(&text));
        }
    }
    out
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[derive(Default)]
struct Builder {
    page: Page,
    open_form: Option<Form>,
    /// A textarea, script or title whose text is being collected.
    collecting: Option<(Collect, String)>,
    select: Option<Select>,
    /// Fields that belong to a form elsewhere by their `form` attribute.
    by_id: Vec<(String, Field)>,
}

enum Collect {
    Textarea(String, Option<String>),
    Script,
    Title,
    Option,
}

struct Select {
    name: String,
    owner: Option<String>,
    chosen: Option<String>,
    first: Option<String>,
    /// Value (`None`: its text is the value) and whether it is selected.
    option: Option<(Option<String>, bool)>,
}

impl Builder {
    fn start(&mut self, tag: &str, attributes: &[(String, String)]) {
        let find = |name: &str| attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
        match tag {
            "form" => {
                self.close_form();
                self.open_form = Some(Form {
                    action: find("action").unwrap_or_default(),
                    id: find("id").or_else(|| find("name")).unwrap_or_default(),
                    method: find("method").unwrap_or_else(|| "get".to_owned()).to_ascii_lowercase(),
                    fields: Vec::new(),
                });
            }
            "input" | "button" => {
                let kind = find("type").unwrap_or_default().to_ascii_lowercase();
                let kind = match (tag, kind.as_str()) {
                    ("input", "hidden") => FieldKind::Hidden,
                    ("input", "password") => FieldKind::Password,
                    ("input", "checkbox" | "radio") => FieldKind::Choice,
                    ("button", _) | (_, "submit" | "button" | "image" | "reset") => FieldKind::Button,
                    _ => FieldKind::Open,
                };
                if let Some(name) = find("name") {
                    let value = find("value").unwrap_or_default();
                    self.field(Field { name, value, kind }, find("form"));
                }
            }
            "textarea" => {
                let name = find("name").unwrap_or_default();
                self.collecting = Some((Collect::Textarea(name, find("form")), String::new()));
            }
            "select" => {
                self.select = find("name").map(|name| Select {
                    name,
                    owner: find("form"),
                    chosen: None,
                    first: None,
                    option: None,
                });
            }
            "option" => {
                self.close_option();
                if let Some(select) = &mut self.select {
                    select.option = Some((find("value"), find("selected").is_some()));
                    self.collecting = Some((Collect::Option, String::new()));
                }
            }
            "script" => self.collecting = Some((Collect::Script, String::new())),
            "title" if self.page.title.is_empty() => self.collecting = Some((Collect::Title, String::new())),
            "meta" => {
                if let (Some(name), Some(content)) =
                    (find("name").or_else(|| find("property")).or_else(|| find("http-equiv")), find("content"))
                {
                    self.page.metas.push((name, content));
                }
            }
            _ => {}
        }
        self.attributes(tag, attributes, &find("id").unwrap_or_default());
    }

    fn attributes(&mut self, tag: &str, attributes: &[(String, String)], id: &str) {
        let control = matches!(tag, "input" | "textarea" | "select" | "option" | "meta");
        for (name, value) in attributes {
            let of_field = control && matches!(name.as_str(), "name" | "value" | "content" | "property");
            if !value.is_empty() && !of_field && !PRESENTATIONAL.contains(&name.as_str()) {
                let (tag, id) = (tag.to_owned(), id.to_owned());
                self.page.attributes.push(Attribute { tag, id, name: name.clone(), value: value.clone() });
            }
        }
    }

    fn text(&mut self, text: &[u8]) {
        if let Some((_, collected)) = &mut self.collecting {
            collected.push_str(&String::from_utf8_lossy(text));
        }
    }

    fn end(&mut self, tag: &str) {
        match tag {
            "form" => self.close_form(),
            "option" => self.close_option(),
            "select" => {
                self.close_option();
                if let Some(select) = self.select.take()
                    && let Some(value) = select.chosen.or(select.first)
                {
                    self.field(Field { name: select.name, value, kind: FieldKind::Open }, select.owner);
                }
            }
            "textarea" | "script" | "title" => match self.collecting.take() {
                Some((Collect::Textarea(name, owner), text)) => {
                    let value = text.strip_prefix('\n').unwrap_or(&text).to_owned();
                    self.field(Field { name, value, kind: FieldKind::Open }, owner);
                }
                Some((Collect::Script, text)) if !text.trim().is_empty() => self.page.scripts.push(text),
                Some((Collect::Title, text)) => self.page.title = text.trim().to_owned(),
                other => self.collecting = other.filter(|_| tag != "script" && tag != "title"),
            },
            _ => {}
        }
    }

    fn close_option(&mut self) {
        let text = match self.collecting.take() {
            Some((Collect::Option, text)) => text,
            other => {
                self.collecting = other;
                String::new()
            }
        };
        if let Some(select) = &mut self.select
            && let Some((value, selected)) = select.option.take()
        {
            let value = value.unwrap_or_else(|| text.trim().to_owned());
            if selected {
                select.chosen = Some(value.clone());
            }
            select.first.get_or_insert(value);
        }
    }

    fn field(&mut self, field: Field, owner: Option<String>) {
        if field.name.is_empty() {
            return;
        }
        match (owner, &mut self.open_form) {
            (Some(id), _) => self.by_id.push((id, field)),
            (None, Some(form)) => form.fields.push(field),
            (None, None) => self.page.loose_fields.push(field),
        }
    }

    fn close_form(&mut self) {
        self.page.forms.extend(self.open_form.take());
    }

    fn finish(mut self) -> Page {
        self.close_form();
        for (id, field) in self.by_id {
            match self.page.forms.iter_mut().find(|form| form.id == id) {
                Some(form) => form.fields.push(field),
                None => self.page.loose_fields.push(field),
            }
        }
        self.page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_hold_their_fields() {
        let page = parse(
            r#"<title> T&amp;x </title><meta name="csrf-token" content="m1">
            <form id=f action="/a?b=1&amp;c" method=POST><input type=hidden name=tok value="x&quot;y">
            <textarea name=body>
line &lt;1&gt;</textarea><select name=s><option value=1>one<option selected>two</select>
            <input name=who><input type=password name=pw><button name=go value=1>Go</button></form>
            <input form=f type=hidden name=late value=z><script>var a = "</b>";</script><a href="/x" data-id=7>l</a>"#,
        );
        assert_eq!(page.title, "T&x");
        assert_eq!(page.metas, [("csrf-token".to_owned(), "m1".to_owned())]);
        let form = &page.forms[0];
        assert_eq!((form.action.as_str(), form.method.as_str(), form.id.as_str()), ("/a?b=1&c", "post", "f"));
        let fields: Vec<(&str, &str, FieldKind)> =
            form.fields.iter().map(|f| (f.name.as_str(), f.value.as_str(), f.kind)).collect();
        assert_eq!(
            fields,
            [
                ("tok", "x\"y", FieldKind::Hidden),
                ("body", "line <1>", FieldKind::Open),
                ("s", "two", FieldKind::Open),
                ("who", "", FieldKind::Open),
                ("pw", "", FieldKind::Password),
                ("go", "1", FieldKind::Button),
                ("late", "z", FieldKind::Hidden),
            ]
        );
        assert_eq!(page.scripts, ["var a = \"</b>\";"]);
        assert!(page.attributes.iter().any(|a| a.tag == "a" && a.name == "data-id" && a.value == "7"));
        assert!(page.asks_password());
    }

    #[test]
    fn broken_markup_is_read_somehow() {
        for html in [
            "<form><form action=",
            "<input name='x",
            "<script>",
            "</form></select></option>",
            "<textarea name=a>",
            "\u{0}<",
        ] {
            let _ = parse(html);
        }
    }
}
