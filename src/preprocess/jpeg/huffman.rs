//! The entropy-coded bits of a baseline scan and what they say (ITU-T T.81, annexes C and F.2.2).

/// Bits of a code, value included, that one look decides.
const LOOK: u32 = 10;
/// Value bits of the largest difference of two mean values, and of any other coefficient, of 8-bit samples.
const MAX_DIFFERENCE_BITS: u8 = 11;
const MAX_COEFFICIENT_BITS: u8 = 10;

/// What the codes of one table say.
pub struct Table {
    /// By the next bits: a whole coefficient, or one without length where more bits decide.
    looks: [Coded; 1 << LOOK],
    /// Per length of a code, from 1 bit on: the first number of 16 bits that begins with a longer one.
    ends: [u32; 16],
    /// Per length: what to add to a code for the index of its symbol.
    offsets: [i32; 16],
    symbols: Vec<u8>,
}

/// Which coefficients a table is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Differences of mean values.
    Difference,
    /// All others.
    Coefficient,
}

/// Some zeros and the coefficient after them; no zeros and a zero say that the block ends.
#[derive(Clone, Copy, Default)]
pub struct Coded {
    /// Its value.
    pub value: i16,
    /// Zeros before it.
    pub run: u8,
    /// Bits that said so.
    length: u8,
}

impl Default for Table {
    fn default() -> Self {
        Self { looks: [Coded::default(); 1 << LOOK], ends: [0; 16], offsets: [0; 16], symbols: Vec::new() }
    }
}

impl Table {
    /// The table of `counts[i]` codes of `i + 1` bits each; none where that is no table of a baseline file.
    pub fn new(kind: Kind, counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let known = |symbol: &u8| match kind {
            Kind::Difference => *symbol <= MAX_DIFFERENCE_BITS,
            Kind::Coefficient => {
                symbol & 15 <= MAX_COEFFICIENT_BITS && (symbol & 15 > 0 || [0x00, 0xf0].contains(symbol))
            }
        };
        if counts.iter().map(|count| usize::from(*count)).sum::<usize>() != symbols.len() || !symbols.iter().all(known)
        {
            return None;
        }
        let mut table = Self { symbols: symbols.to_vec(), ..Self::default() };
        let (mut code, mut index) = (0_u32, 0_i32);
        for (bits, count) in (1..=16_u32).zip(counts) {
            let length = bits as usize - 1;
            table.offsets[length] = index - code as i32;
            (code, index) = (code + u32::from(*count), index + i32::from(*count));
            // No code is all ones.
            if *count > 0 && code >= 1 << bits {
                return None;
            }
            table.ends[length] = code << (16 - bits);
            code <<= 1;
        }
        for look in 0..1 << LOOK {
            let coded = table.search(u64::from(look as u32) << (64 - LOOK));
            if let Some(coded) = coded.filter(|coded| u32::from(coded.length) <= LOOK) {
                table.looks[look] = coded;
            }
        }
        Some(table)
    }

    /// What `bits`, the first one highest, begin with.
    #[inline(always)]
    fn decode(&self, bits: u64) -> Option<Coded> {
        let coded = self.looks[(bits >> (64 - LOOK)) as usize];
        if coded.length > 0 { Some(coded) } else { self.search(bits) }
    }

    fn search(&self, bits: u64) -> Option<Coded> {
        let next = (bits >> 48) as u32;
        let length = self.ends.iter().position(|end| next < *end)?;
        let code = next >> (15 - length);
        let symbol = *self.symbols.get((code as i32 + self.offsets[length]) as usize)?;
        let [run, size] = [symbol >> 4, symbol & 15];
        let code_bits = length as u32 + 1;
        Some(Coded { value: value(bits << code_bits, u32::from(size)), run, length: code_bits as u8 + size })
    }
}

/// The first `size` bits as a number; those that begin with 0 count up from the most negative one.
fn value(bits: u64, size: u32) -> i16 {
    if size == 0 {
        return 0;
    }
    let number = (bits >> (64 - size)) as i32;
    let lowest = if bits >> 63 == 0 { 1 - (1 << size) } else { 0 };
    (number + lowest) as i16
}

/// Reads a scan's bits.
pub struct Bits<'a> {
    data: &'a [u8],
    /// The next bits, the first one highest; what lies below the first `count` ones is unspecified.
    next: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    /// `data` begins with the scan's first byte.
    pub fn new(data: &'a [u8]) -> Self {
        Self { data, next: 0, count: 0 }
    }

    /// The next coefficient; none where the bits are damaged or end.
    #[inline(always)]
    pub fn coded(&mut self, table: &Table) -> Option<Coded> {
        if self.count < 32 {
            self.refill();
        }
        let coded = table.decode(self.next)?;
        let length = u32::from(coded.length);
        self.next <<= length;
        self.count = self.count.checked_sub(length)?;
        Some(coded)
    }

    /// Passes the marker `0xff, code` that must come next, after less than a byte of padding.
    pub fn pass_marker(&mut self, code: u8) -> Option<()> {
        self.refill();
        self.data = self.data.strip_prefix(&[0xff, code]).filter(|_| self.count < 8)?;
        (self.next, self.count) = (0, 0);
        Some(())
    }

    /// Has at least 56 bits afterwards, or all that are left before the next marker.
    #[inline(always)]
    fn refill(&mut self) {
        match self.data.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes)) {
            Some(bytes) if !has_ff(bytes) => {
                self.next |= bytes >> self.count;
                let taken = (63 - self.count) / 8;
                self.data = &self.data[taken as usize..];
                self.count += 8 * taken;
            }
            _ => self.refill_by_bytes(),
        }
    }

    #[cold]
    fn refill_by_bytes(&mut self) {
        // What lies below may be of bytes that are read again.
        self.next &= !(u64::MAX.checked_shr(self.count).unwrap_or(0));
        while self.count < 56 {
            let (byte, rest) = match *self.data {
                [0xff, 0x00, ref rest @ ..] => (0xff, rest),
                [byte, ref rest @ ..] if byte != 0xff => (byte, rest),
                _ => return,
            };
            self.next |= u64::from(byte) << (56 - self.count);
            (self.data, self.count) = (rest, self.count + 8);
        }
    }
}

/// Whether one of the eight bytes is `0xff`: a zero byte of the complement borrows.
fn has_ff(bytes: u64) -> bool {
    (!bytes).wrapping_sub(0x0101_0101_0101_0101) & bytes & 0x8080_8080_8080_8080 != 0
}
