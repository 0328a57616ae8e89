//! Server-sent events, as they arrive.

/// A message of the host.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The name of the message.
    pub event: String,
    /// The payload; a message without one is not delivered.
    pub data: String,
}

/// Puts messages together from whatever pieces they come in.
#[derive(Debug, Default)]
pub struct EventStream {
    /// The bytes after the last line break.
    rest: Vec<u8>,
    message: Message,
    /// Counts when its block has ended: before that, the message that it is the id of may not have
    /// come.
    next_id: Option<String>,
    last_id: Option<String>,
}

impl EventStream {
    /// Takes a piece, and gives the messages that it completes.
    pub fn push(&mut self, piece: &[u8]) -> Vec<Message> {
        let mut messages = Vec::new();
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(part);
            if self.rest.ends_with(b"\n") {
                let line = std::mem::take(&mut self.rest);
                let line = String::from_utf8_lossy(&line);
                messages.extend(self.line(line.trim_end_matches(['\r', '\n'])));
            }
        }
        messages
    }

    /// Gives the newest id that has arrived in full, with or without data: the position to resume
    /// after.
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    fn line(&mut self, line: &str) -> Option<Message> {
        if line.is_empty() {
            self.last_id = self.next_id.take().or(self.last_id.take());
            let message = std::mem::take(&mut self.message);
            return (!message.data.is_empty()).then_some(message);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.next_id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.message.event),
            "data" => {
                if !self.message.data.is_empty() {
                    self.message.data.push('\n');
                }
                self.message.data.push_str(value);
            }
            // A comment, or what a newer host says.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "id: 1\nevent: Opened\ndata: {\"ä\":1}\n\n:\nid: 2\n\nid:3\r\nevent:Closed\r\ndata:{\r\ndata: }\r\n\r\nid: 4\ndata: cut";

    fn messages(pieces: impl Iterator<Item = Vec<u8>>) -> (Vec<Message>, Option<String>) {
        let mut stream = EventStream::default();
        let messages = pieces.flat_map(|piece| stream.push(&piece)).collect();
        (messages, stream.last_id().map(str::to_owned))
    }

    #[test]
    fn messages_are_the_same_in_whatever_pieces_they_come() {
        let message = |event: &str, data: &str| Message {
            event: event.to_owned(),
            data: data.to_owned(),
        };
        let expected = [message("Opened", "{\"ä\":1}"), message("Closed", "{\n}")];
        for size in 1..=TEXT.len() {
            let pieces = TEXT.as_bytes().chunks(size).map(<[u8]>::to_vec);
            let (messages, last_id) = messages(pieces);
            assert_eq!(messages, expected, "in pieces of {size}");
            assert_eq!(last_id.as_deref(), Some("3"), "4 has not come");
        }
    }

    #[test]
    fn an_id_without_data_moves_the_place_and_is_no_message() {
        let mut stream = EventStream::default();
        assert_eq!(stream.push(b":\nid: 00f\n\n"), []);
        assert_eq!(stream.last_id(), Some("00f"));
    }
}
