//! MessagePack values, by hand above the markers of `rmp`: nothing is allocated, and lengths are believed
//! only when the bytes are there.

use rmp::Marker;

use super::Fault;

/// A value; what an array or a map holds stands behind it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Nil,
    Boolean(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(&'a [u8]),
    Binary(&'a [u8]),
    Extension(i8, &'a [u8]),
    /// So many values follow.
    Array(u32),
    /// So many pairs follow.
    Map(u32),
}

/// How a value begins.
pub(super) struct Head {
    /// Bytes up to the body.
    pub(super) length: usize,
    /// Bytes of the body that the head claims.
    pub(super) body: usize,
    /// Values that follow.
    pub(super) children: u64,
}

/// Reads how a value begins: `Ok(None)` when more bytes are needed, an error when nothing begins so.
pub(super) fn head(bytes: &[u8]) -> Result<Option<Head>, ()> {
    let Some(first) = bytes.first() else {
        return Ok(None);
    };
    let fixed = |length: usize, body: usize, children: u64| {
        Ok(Some(Head {
            length,
            body,
            children,
        }))
    };
    // The length that a head states in `width` bytes, with `more` bytes before the body.
    let stated = |width: usize, more: usize, per_unit: u64| {
        let Some(digits) = bytes.get(1..=width) else {
            return Ok(None);
        };
        let count = digits
            .iter()
            .fold(0_u64, |all, it| all << 8 | u64::from(*it));
        let (body, children) = match per_unit {
            0 => (usize::try_from(count).unwrap_or(usize::MAX), 0),
            per_unit => (0, count * per_unit),
        };
        Ok(Some(Head {
            length: 1 + width + more,
            body,
            children,
        }))
    };
    match Marker::from_u8(*first) {
        Marker::Reserved => Err(()),
        Marker::FixPos(_) | Marker::FixNeg(_) | Marker::Null | Marker::True | Marker::False => {
            fixed(1, 0, 0)
        }
        Marker::FixMap(count) => fixed(1, 0, u64::from(count) * 2),
        Marker::FixArray(count) => fixed(1, 0, u64::from(count)),
        Marker::FixStr(length) => fixed(1, usize::from(length), 0),
        Marker::U8 | Marker::I8 => fixed(1, 1, 0),
        Marker::U16 | Marker::I16 => fixed(1, 2, 0),
        Marker::U32 | Marker::I32 | Marker::F32 => fixed(1, 4, 0),
        Marker::U64 | Marker::I64 | Marker::F64 => fixed(1, 8, 0),
        Marker::FixExt1 => fixed(2, 1, 0),
        Marker::FixExt2 => fixed(2, 2, 0),
        Marker::FixExt4 => fixed(2, 4, 0),
        Marker::FixExt8 => fixed(2, 8, 0),
        Marker::FixExt16 => fixed(2, 16, 0),
        Marker::Bin8 | Marker::Str8 => stated(1, 0, 0),
        Marker::Bin16 | Marker::Str16 => stated(2, 0, 0),
        Marker::Bin32 | Marker::Str32 => stated(4, 0, 0),
        Marker::Ext8 => stated(1, 1, 0),
        Marker::Ext16 => stated(2, 1, 0),
        Marker::Ext32 => stated(4, 1, 0),
        Marker::Array16 => stated(2, 0, 1),
        Marker::Array32 => stated(4, 0, 1),
        Marker::Map16 => stated(2, 0, 2),
        Marker::Map32 => stated(4, 0, 2),
    }
}

/// Reads values from bytes that are all there.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where `bytes` begin within `place`.
    base: u64,
    place: &'static str,
    max_depth: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(
        bytes: &'a [u8],
        base: u64,
        place: &'static str,
        max_depth: usize,
    ) -> Self {
        Self {
            bytes,
            at: 0,
            base,
            place,
            max_depth,
        }
    }

    pub(super) const fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// Where the next value stands within the place.
    pub(super) const fn position(&self) -> u64 {
        self.base + self.at as u64
    }

    pub(super) const fn max_depth(&self) -> usize {
        self.max_depth
    }

    /// That something else stands at the next value.
    pub(super) const fn no(&self, expected: &'static str) -> Fault {
        self.no_at(expected, self.position())
    }

    /// That something else stands at a position.
    pub(super) const fn no_at(&self, expected: &'static str, at: u64) -> Fault {
        let place = self.place;
        Fault::NotForward {
            expected,
            at,
            place,
        }
    }

    /// That a value is nested too deeply.
    pub(super) const fn too_deep(&self) -> Fault {
        Fault::TooDeep {
            at: self.position(),
            place: self.place,
            max_depth: self.max_depth,
        }
    }

    const fn torn(&self) -> Fault {
        Fault::Torn {
            at: self.base + self.bytes.len() as u64,
            place: self.place,
        }
    }

    fn head(&self) -> Result<Head, Fault> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let head = head(rest).map_err(|()| self.no("MessagePack"))?;
        head.ok_or_else(|| self.torn())
    }

    /// The next value.
    pub(super) fn value(&mut self) -> Result<Value<'a>, Fault> {
        let head = self.head()?;
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = head.length.saturating_add(head.body);
        let whole = rest.get(..end).ok_or_else(|| self.torn())?;
        let body = whole.get(head.length..).unwrap_or_default();
        let first = whole.first().copied().unwrap_or_default();
        let unsigned = || body.iter().fold(0_u64, |all, it| all << 8 | u64::from(*it));
        let value = match Marker::from_u8(first) {
            Marker::Null | Marker::Reserved => Value::Nil,
            Marker::True => Value::Boolean(true),
            Marker::False => Value::Boolean(false),
            Marker::FixPos(number) => Value::Unsigned(u64::from(number)),
            Marker::FixNeg(number) => Value::Signed(i64::from(number)),
            Marker::U8 | Marker::U16 | Marker::U32 | Marker::U64 => Value::Unsigned(unsigned()),
            Marker::I8 => Value::Signed(i64::from(unsigned() as i8)),
            Marker::I16 => Value::Signed(i64::from(unsigned() as i16)),
            Marker::I32 => Value::Signed(i64::from(unsigned() as i32)),
            Marker::I64 => Value::Signed(unsigned() as i64),
            Marker::F32 => Value::Float(f64::from(f32::from_bits(unsigned() as u32))),
            Marker::F64 => Value::Float(f64::from_bits(unsigned())),
            Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => Value::Text(body),
            Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => Value::Binary(body),
            Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => {
                Value::Array(u32::try_from(head.children).unwrap_or(u32::MAX))
            }
            Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => {
                Value::Map(u32::try_from(head.children / 2).unwrap_or(u32::MAX))
            }
            Marker::FixExt1
            | Marker::FixExt2
            | Marker::FixExt4
            | Marker::FixExt8
            | Marker::FixExt16
            | Marker::Ext8
            | Marker::Ext16
            | Marker::Ext32 => {
                let kind = whole.get(head.length - 1).copied().unwrap_or_default();
                Value::Extension(kind as i8, body)
            }
        };
        self.at += end;
        Ok(value)
    }

    /// The bytes of the next value when it is a text or binary; otherwise nothing is read.
    pub(super) fn text(&mut self) -> Result<Option<&'a [u8]>, Fault> {
        let before = self.at;
        if let Value::Text(bytes) | Value::Binary(bytes) = self.value()? {
            return Ok(Some(bytes));
        }
        self.at = before;
        Ok(None)
    }

    /// How many values the next array holds; otherwise nothing is read.
    pub(super) fn array(&mut self, expected: &'static str) -> Result<u32, Fault> {
        let before = self.at;
        if let Value::Array(count) = self.value()? {
            return Ok(count);
        }
        self.at = before;
        Err(self.no(expected))
    }

    /// Passes over the next value and all that it holds.
    pub(super) fn skip(&mut self) -> Result<(), Fault> {
        let mut scan = Scan::default();
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match scan.advance(rest, rest.len(), self.max_depth) {
            Ok(Some(length)) => {
                self.at += length;
                Ok(())
            }
            Ok(None) | Err(Stop::TooLong) => Err(self.torn()),
            Err(Stop::TooDeep) => Err(self.too_deep()),
            Err(Stop::Reserved) => Err(self.no_at("MessagePack", self.position() + scan.at as u64)),
        }
    }

    /// Passes over the next value, and hands on a reader of it alone.
    pub(super) fn sub_reader(&mut self) -> Result<Self, Fault> {
        let mut inner = self.clone();
        self.skip()?;
        inner.bytes = self.bytes.get(..self.at).unwrap_or_default();
        Ok(inner)
    }
}

/// Finds the end of a value, of which more bytes may come.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Up to here the value has been walked.
    pub(super) at: usize,
    /// How many values each open array or map still wants.
    open: Vec<u64>,
}

/// Why a value is not walked further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// It is, or says that it is, longer than the bound.
    TooLong,
    TooDeep,
    /// A byte begins no value.
    Reserved,
}

impl Scan {
    /// Walks on; the value's length once all of it is there. `bytes` begin where they began before.
    pub(super) fn advance(
        &mut self,
        bytes: &[u8],
        max_bytes: usize,
        max_depth: usize,
    ) -> Result<Option<usize>, Stop> {
        loop {
            let rest = bytes.get(self.at..).unwrap_or_default();
            let Some(head) = head(rest).map_err(|()| Stop::Reserved)? else {
                return if bytes.len() >= max_bytes {
                    Err(Stop::TooLong)
                } else {
                    Ok(None)
                };
            };
            let end = (self.at + head.length).saturating_add(head.body);
            let children = usize::try_from(head.children).unwrap_or(usize::MAX);
            // A child takes at least one byte.
            if end.saturating_add(children) > max_bytes {
                return Err(Stop::TooLong);
            }
            if end > bytes.len() {
                return Ok(None);
            }
            self.at = end;
            if head.children > 0 {
                if self.open.len() >= max_depth {
                    return Err(Stop::TooDeep);
                }
                self.open.push(head.children);
                continue;
            }
            loop {
                let Some(missing) = self.open.last_mut() else {
                    return Ok(Some(self.at));
                };
                *missing -= 1;
                if *missing > 0 {
                    break;
                }
                self.open.pop();
            }
        }
    }

    /// Ready for the next value.
    pub(super) fn reset(&mut self) {
        self.at = 0;
        self.open.clear();
    }
}
