//! Makes captured text harmless where it is shown.

use std::fmt::Write as _;

/// Text for an HTML element or a quoted attribute. Control characters and those that reorder text become visible.
pub fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => push_visible(&mut out, c),
        }
    }
    out
}

/// Text for a terminal: nothing in it can move the cursor, change colours or reorder what is shown.
pub fn terminal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| push_visible(&mut out, c));
    out
}

fn push_visible(out: &mut String, c: char) {
    let reorders =
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    if c.is_control() || reorders {
        let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
    } else {
        out.push(c);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn markup_and_control_characters_become_text() {
        assert_eq!(super::html("</b a='1'>\"&\u{202e}"), "&lt;/b a=&#39;1&#39;&gt;&quot;&amp;\\u{202e}");
        assert_eq!(super::terminal("a\x1b[31m\r\nb\u{9b}é"), "a\\u{1b}[31m\\u{d}\\u{a}b\\u{9b}é");
    }
}
