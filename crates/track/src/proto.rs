//! The wire format of protocol buffers, as far as trackers' files need it: varints, 32-bit and 64-bit
//! values, and length-delimited bytes (<https://protobuf.dev/programming-guides/encoding/>).

/// A message under construction. Fields are encoded as they are added.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn varint(mut self, field: u32, value: u64) -> Self {
        self.key(field, 0);
        self.raw_varint(value);
        self
    }

    pub(crate) fn double(mut self, field: u32, value: f64) -> Self {
        self.key(field, 1);
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(crate) fn float(mut self, field: u32, value: f32) -> Self {
        self.key(field, 5);
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(crate) fn bytes(mut self, field: u32, value: &[u8]) -> Self {
        self.key(field, 2);
        self.raw_varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    pub(crate) fn text(self, field: u32, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    pub(crate) fn message(self, field: u32, value: Self) -> Self {
        self.bytes(field, &value.0)
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }

    fn key(&mut self, field: u32, wire: u8) {
        self.raw_varint(u64::from(field) << 3 | u64::from(wire));
    }

    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// One decoded field of a message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Field<'a> {
    /// An integer, a boolean or an enumeration.
    Varint(u64),
    /// Eight bytes, such as a `double`.
    Fixed64(u64),
    /// Four bytes, such as a `float`.
    Fixed32(u32),
    /// Text, bytes or a message.
    Bytes(&'a [u8]),
}

/// Iterates over the fields of a message; stops at the end or at damage.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a>(pub &'a [u8]);

impl Reader<'_> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = (u32, Field<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).ok()?;
        let mut take = |length: usize| {
            let (head, rest) = self.0.split_at_checked(length)?;
            self.0 = rest;
            Some(head)
        };
        let field = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(u64::from_le_bytes(take(8)?.try_into().ok()?)),
            5 => Field::Fixed32(u32::from_le_bytes(take(4)?.try_into().ok()?)),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                let (head, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                Field::Bytes(head)
            }
            _ => return None,
        };
        Some((number, field))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_specification() {
        assert_eq!(Message::new().varint(1, 150).finish(), [0x08, 0x96, 0x01]);
        let testing = [0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67];
        assert_eq!(Message::new().text(2, "testing").finish(), testing);
    }

    #[test]
    fn what_is_written_is_read() {
        let inner = Message::new().double(16, 2.5).float(200, -1.0);
        let bytes = Message::new().varint(3, u64::MAX).message(17, inner).finish();
        let fields: Vec<_> = Reader(&bytes).collect();
        assert_eq!(fields[0], (3, Field::Varint(u64::MAX)));
        let (17, Field::Bytes(inner)) = fields[1] else { panic!("{fields:?}") };
        let inner: Vec<_> = Reader(inner).collect();
        assert_eq!(inner[0], (16, Field::Fixed64(2.5_f64.to_bits())));
        assert_eq!(inner[1], (200, Field::Fixed32((-1.0_f32).to_bits())));
        assert_eq!(Reader(&bytes[..5]).count(), 0);
    }
}
