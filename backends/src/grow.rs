//! How a table that is indexed by descriptors grows.

use std::collections::TryReserveError;

/// From here on a table grows by a sixteenth.
const LARGE: usize = 1024;

/// Makes room for `more` elements, as [`Vec::try_reserve`] does; but a large table gets a sixteenth
/// more room than it had, and not twice as much.
///
/// The tables of 10 000 descriptors would be half empty. What it costs to add an element is
/// constant either way, on the average.
///
/// # Errors
///
/// There is no memory. The table is as it was.
pub fn reserve<T>(table: &mut Vec<T>, more: usize) -> Result<(), TryReserveError> {
    let (length, room) = (table.len(), table.capacity());
    if room < LARGE || more <= room - length {
        table.try_reserve(more)
    } else {
        table.try_reserve_exact(more.max(room + room / 16 - length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_table_has_little_room_to_spare_and_is_seldom_moved() {
        let (mut table, mut moves) = (Vec::new(), 0);
        for number in 0..100_000_u32 {
            let before = table.capacity();
            reserve(&mut table, 1).unwrap();
            moves += usize::from(table.capacity() != before);
            table.push(number);
            assert!(table.capacity() <= LARGE.max(table.len() + table.len() / 16 + 1));
        }
        assert!(moves < 90, "{moves}");
        reserve(&mut table, 1 << 20).unwrap();
        assert!(table.capacity() - table.len() >= 1 << 20);
        assert!(reserve(&mut table, usize::MAX).is_err());
        assert!(table.iter().copied().eq(0..100_000));
    }
}
