//! Reading as an observer: lenient heads, and the way back to the next message when bytes were lost.

use super::framing::{self, Observed};
use super::head::{self, is_token_byte};
use super::lenient::Belief;
use super::reader::{Direction, State, at_most};
use super::{
    Event, Framing, Http1Error, Leniencies, Leniency, Limits, Progress, Reader, RequestHead, ResponseHead, Spares,
    Stance,
};
use super::{chunked, lenient, seek};
use crate::model::{Headers, Version};

/// What a gap did to the message under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterGap {
    /// So many bytes of its body are missing; reading goes on behind them.
    Inside(u64),
    /// The last so many bytes of its body are missing, with which it ends: [`Reader::read`] says so next. When the gap is
    /// longer, call [`Reader::seek`] then.
    Ended(u64),
    /// Where the message ends cannot be known; the reader looks for the next one.
    Broken,
    /// It hit no body: a head, or messages that nobody saw. The reader looks for the next message.
    Between,
    /// There is no more HTTP on this connection.
    Over,
}

/// For observers.
impl Reader {
    /// For the bytes a client is seen to send.
    pub fn observed_requests(limits: Limits) -> Self {
        Self::new(limits, Direction::Requests, Stance::Observing)
    }

    /// For the bytes a server is seen to send. What is not announced with [`Reader::expect`] is read as the response to a
    /// GET.
    pub fn observed_responses(limits: Limits) -> Self {
        Self::new(limits, Direction::Responses, Stance::Observing)
    }

    /// Announces that the next response answers a request with this method, whatever was announced before.
    pub fn expect_only(&mut self, method: &str) {
        self.asked.clear();
        self.expect(method);
    }

    /// Takes back all that was announced.
    pub fn expect_nothing(&mut self) {
        self.asked.clear();
    }

    /// The server answers in HTTP: what the client said first is a request, however odd.
    pub fn believe(&mut self) {
        self.belief = Belief::Answered;
    }

    /// What was odd since the last call.
    pub fn take_leniencies(&mut self) -> Leniencies {
        std::mem::take(&mut self.told)
    }

    /// Bytes passed over since the last call because they belong to no message.
    pub fn take_skipped(&mut self) -> u64 {
        std::mem::take(&mut self.skipped)
    }

    /// Gives up where it stands and looks for the next message; nothing of the input was consumed since.
    pub fn seek(&mut self) {
        self.first = false;
        self.interim = 0;
        self.state = State::Seek { body: false, fresh: true, past: 0 };
    }

    /// After an error: the same, behind what led to it.
    pub fn seek_past(&mut self) {
        let past = std::mem::take(&mut self.hopeless).max(1);
        self.seek();
        self.state = State::Seek { body: false, fresh: false, past };
    }

    /// True while what is held back belongs to the body when nothing more comes.
    pub fn is_in_open_body(&self) -> bool {
        matches!(self.state, State::Seek { body: true, .. })
    }

    /// True behind the last byte of a body, until [`Reader::read`] has said that the message is over.
    pub fn is_at_end(&self) -> bool {
        matches!(self.state, State::End)
    }

    /// True while it looks for the next message.
    pub fn is_seeking(&self) -> bool {
        matches!(self.state, State::Seek { body: false, .. })
    }

    /// So many bytes were never seen. What was not consumed before is lost with them, except in a body without an end.
    pub fn gap(&mut self, bytes: u64) -> AfterGap {
        match &mut self.state {
            State::Length(left) if bytes < *left => {
                *left -= bytes;
                AfterGap::Inside(bytes)
            }
            State::Length(left) => {
                let missing = *left;
                self.state = State::End;
                AfterGap::Ended(missing)
            }
            State::Data(left) if bytes <= *left => {
                *left -= bytes;
                if *left == 0 {
                    self.state = State::DataEnd;
                }
                AfterGap::Inside(bytes)
            }
            State::UntilClose => AfterGap::Inside(bytes),
            State::Seek { body: true, fresh, .. } => {
                *fresh = true;
                AfterGap::Inside(bytes)
            }
            State::End => AfterGap::Ended(0),
            State::Size { .. } | State::Data(_) | State::DataEnd | State::Trailers { .. } => {
                self.seek();
                AfterGap::Broken
            }
            State::Head { .. } | State::Seek { .. } | State::Failed(_) => {
                self.seek();
                AfterGap::Between
            }
            State::Over => AfterGap::Over,
        }
    }

    pub(super) fn observe_head(&mut self, input: &[u8], spares: &mut Spares) -> Result<Progress, Http1Error> {
        let result = self.observe_any_head(input, spares);
        if let Err(error) = &result {
            self.hopeless = hopeless(error, input);
        }
        result
    }

    fn observe_any_head(&mut self, input: &[u8], spares: &mut Spares) -> Result<Progress, Http1Error> {
        let blank = input.iter().take_while(|b| matches!(b, b'\r' | b'\n' | b' ' | b'\t')).count();
        let belief = self.believed();
        let State::Head { scan, begun, .. } = &mut self.state else {
            return Ok(Progress { consumed: 0, event: None });
        };
        if blank > 0 {
            *begun = false;
            if input[..blank].iter().any(|b| matches!(b, b' ' | b'\t')) {
                self.told.add(Leniency::Cruft);
            }
            return Ok(Progress { consumed: blank, event: None });
        }
        *begun = true;
        if !may_start_observed_head(self.direction, input) {
            let due = self.direction == Direction::Responses && self.first && !self.asked.is_empty();
            return if due && !seek::is_of_another_protocol(input) {
                Ok(self.headless_response())
            } else {
                self.cruft(input, spares)
            };
        }
        if scan.is_fresh()
            && let Some((event, end)) = self.head_in_form(input, spares)?
        {
            return Ok(Progress { consumed: end, event: Some(event) });
        }
        let State::Head { scan, .. } = &mut self.state else {
            return Ok(Progress { consumed: 0, event: None });
        };
        // Most first lines are in form, which is quickly seen.
        if let Some(line) = scan.first_line(input).filter(|line| !seek::is_in_form(self.direction, line)) {
            if !seek::borne(self.direction, line, belief) {
                return self.cruft(input, spares);
            }
            let versionless = self.direction == Direction::Requests && lenient::is_versionless(line, belief);
            if versionless && !(self.first && seek::is_followed_by_field(input)) {
                return self.headless_request(input, spares);
            }
        }
        let Some((end, strict)) = scan.lenient_block_end(input, self.limits.head_bytes)? else {
            return Ok(Progress { consumed: 0, event: None });
        };
        let event = match self.direction {
            Direction::Requests => self.observed_request(&input[..end], strict)?,
            Direction::Responses => self.observed_response(&input[..end], strict)?,
        };
        Ok(Progress { consumed: end, event: Some(event) })
    }

    /// What is taken for the start line of the next message.
    pub(super) fn believed(&self) -> Belief {
        match self.direction {
            Direction::Requests if self.first => self.belief,
            Direction::Responses if !self.asked.is_empty() => Belief::Answered,
            _ => Belief::Form,
        }
    }

    fn cruft(&mut self, input: &[u8], spares: &mut Spares) -> Result<Progress, Http1Error> {
        self.told.add(Leniency::Cruft);
        self.seek();
        Ok(self.read_seek(input, spares))
    }

    /// HTTP/0.9: the line is all there is.
    fn headless_request(&mut self, input: &[u8], spares: &mut Spares) -> Result<Progress, Http1Error> {
        if !self.first {
            return self.cruft(input, spares);
        }
        let end = memchr::memchr(b'\n', input).map_or(input.len(), |at| at + 1);
        let head = lenient::request(&input[..end], &self.limits, self.believed(), &mut self.told)?;
        self.first = false;
        self.state = State::End;
        Ok(Progress { consumed: end, event: Some(Event::Request(head, Framing::None)) })
    }

    /// HTTP/0.9: the answer is a body.
    fn headless_response(&mut self) -> Progress {
        self.told.add(Leniency::NoVersion);
        self.first = false;
        self.asked.pop_front();
        self.state = State::UntilClose;
        let head = ResponseHead {
            raw: Vec::new(),
            version: Version::Http09,
            status: 200,
            reason: Vec::new(),
            headers: Headers::default(),
        };
        Progress { consumed: 0, event: Some(Event::Response(head, Framing::UntilClose)) }
    }

    /// The head at the start of `input` and its length, when it is all there and in form.
    fn head_in_form(&mut self, input: &[u8], spares: &mut Spares) -> Result<Option<(Event, usize)>, Http1Error> {
        let found = match self.direction {
            Direction::Requests => {
                spares.request(input, &self.limits).map(|(head, end)| (self.request_observed(head), end))
            }
            Direction::Responses => match spares.response(input, &self.limits) {
                Some((head, end)) => Some((self.response_observed(head)?, end)),
                None => None,
            },
        };
        Ok(found)
    }

    fn observed_request(&mut self, raw: &[u8], strict: bool) -> Result<Event, Http1Error> {
        let in_form = if strict { head::request(raw, &self.limits).ok() } else { None };
        let head = match in_form {
            Some(head) => head,
            None => lenient::request(raw, &self.limits, self.believed(), &mut self.told)?,
        };
        Ok(self.request_observed(head))
    }

    fn request_observed(&mut self, head: RequestHead) -> Event {
        let ends = framing::of_observed_request(head.version, &head.headers, &mut self.told);
        let framing = self.enter(ends);
        Event::Request(head, framing)
    }

    fn observed_response(&mut self, raw: &[u8], strict: bool) -> Result<Event, Http1Error> {
        let in_form = if strict { head::response(raw, &self.limits).ok() } else { None };
        let head = match in_form {
            Some(head) => head,
            None => lenient::response(raw, &self.limits, self.believed(), &mut self.told)?,
        };
        self.response_observed(head)
    }

    fn response_observed(&mut self, head: ResponseHead) -> Result<Event, Http1Error> {
        if (100..200).contains(&head.status) && head.status != 101 {
            self.first = false;
            self.another_interim()?;
            return Ok(Event::Response(head, Framing::None));
        }
        let asked = self.asked.pop_front().unwrap_or(framing::Asked::Other);
        let ends = framing::of_observed_response(asked, head.version, head.status, &head.headers, &mut self.told);
        let framing = self.enter(ends);
        Ok(Event::Response(head, framing))
    }

    /// Goes to the state behind a final head.
    fn enter(&mut self, ends: Observed) -> Framing {
        self.first = false;
        self.interim = 0;
        match ends {
            Observed::As(framing) => {
                self.state = State::body(framing);
                framing
            }
            Observed::NextHead => {
                self.state = State::Seek { body: true, fresh: true, past: 0 };
                Framing::UntilClose
            }
        }
    }

    pub(super) fn read_seek(&mut self, input: &[u8], spares: &mut Spares) -> Progress {
        let State::Seek { body, fresh, past } = &mut self.state else {
            return Progress { consumed: 0, event: None };
        };
        if input.is_empty() {
            return Progress { consumed: 0, event: None };
        }
        let passed = at_most(*past as u64, input.len());
        if passed > 0 {
            *past -= passed;
            self.skipped += passed as u64;
            return Progress { consumed: passed, event: None };
        }
        let found = seek::next_head(self.direction, input, *fresh);
        let body = *body;
        if found.skip > 0 {
            // What is kept back starts a line, or may be the start of a head in the middle of one.
            *fresh = input[found.skip - 1] == b'\n';
        }
        if found.head && (found.skip == 0 || !body) {
            self.skipped += found.skip as u64;
            self.state = if body { State::End } else { State::START };
            if found.skip == 0 {
                return if body { self.end(0, Headers::default()) } else { self.read_again(input, spares) };
            }
            return Progress { consumed: found.skip, event: None };
        }
        if found.skip == 0 {
            return Progress { consumed: 0, event: None };
        }
        if body {
            return Progress { consumed: found.skip, event: Some(Event::Body(0..found.skip)) };
        }
        self.skipped += found.skip as u64;
        Progress { consumed: found.skip, event: None }
    }

    /// The head found is at the start of `input`. What it is made of may yet be refused; that error stands for the next
    /// call then.
    fn read_again(&mut self, input: &[u8], spares: &mut Spares) -> Progress {
        self.observe_head(input, spares).unwrap_or_else(|error| {
            self.state = State::Failed(error);
            Progress { consumed: 0, event: None }
        })
    }

    /// The line before a chunk.
    pub(super) fn size_line(&mut self, input: &[u8], mut searched: usize) -> Result<Option<(usize, u64)>, Http1Error> {
        let line = match self.stance {
            Stance::Forwarding => chunked::size_line(input, &mut searched, self.direction),
            Stance::Observing => chunked::observed_size_line(input, &mut searched, &mut self.told),
        };
        self.state = State::Size { searched };
        line
    }

    /// The trailers that `rest` starts with, and their length.
    pub(super) fn observed_trailers(&mut self, rest: &[u8]) -> Result<Option<(usize, Headers)>, Http1Error> {
        let State::Trailers { scan } = &mut self.state else { return Ok(None) };
        if scan.first_line(rest).is_some_and(|line| seek::starts_message(self.direction, line)) {
            self.told.add(Leniency::NoFinalLine);
            return Ok(Some((0, Headers::default())));
        }
        let Some((end, _)) = scan.lenient_block_end(rest, self.limits.head_bytes)? else { return Ok(None) };
        Ok(Some((end, lenient::fields(&rest[..end], &self.limits, &mut self.told)?)))
    }
}

/// So many first bytes of a head that is over the limits begin no head that is within them. Without that, each line of a
/// long block that looks like a start line would have the whole block read again.
fn hopeless(error: &Http1Error, input: &[u8]) -> usize {
    match *error {
        // What begins in its first half is no usual head either.
        Http1Error::HeadTooLong(limit) => limit / 2,
        Http1Error::TooManyFields(limit) => {
            let mut scan = head::Scan::START;
            let block = scan.lenient_block_end(input, input.len().saturating_add(1));
            let end = block.ok().flatten().map_or(0, |(end, _)| end);
            // From its end: the empty line, the fields of a head within the limit, that head's own line, and the line end
            // before it, by which the search knows where a line starts.
            memchr::memrchr_iter(b'\n', &input[..end]).nth(limit.saturating_add(2)).unwrap_or(0)
        }
        _ => 0,
    }
}

/// Whether these first bytes can be a head as an observer reads it.
fn may_start_observed_head(direction: Direction, input: &[u8]) -> bool {
    match direction {
        Direction::Requests => is_token_byte(input[0]),
        Direction::Responses => [&b"HTTP/"[..], b"ICY "].iter().any(|word| {
            let known = input.len().min(word.len());
            input[..known].eq_ignore_ascii_case(&word[..known])
        }),
    }
}
