//! The two orders that decide ties: that of a stable sort, and that of the table in which the original keeps nodes by id.

/// A stable merge sort: any comparison is safe here, also one that contradicts itself, as those of instances and of capacities may. What such
/// a one gives depends on the halves, so they are those of the original.
pub(super) fn merge_sort<T: Copy>(list: &mut [T], before: &mut impl FnMut(T, T) -> std::cmp::Ordering) {
    if list.len() < 2 {
        return;
    }
    let half = list.len() / 2;
    merge_sort(&mut list[..half], before);
    merge_sort(&mut list[half..], before);
    let (left, right) = (list[..half].to_vec(), list[half..].to_vec());
    let (mut l, mut r) = (0, 0);
    for slot in list.iter_mut() {
        let take_left = r >= right.len() || (l < left.len() && before(left[l], right[r]).is_le());
        *slot = if take_left { left[l] } else { right[r] };
        if take_left { l += 1 } else { r += 1 }
    }
}

/// The order in which the original walks through a table of these keys, as places in the list. It is a table of buckets that grows: a key's
/// bucket follows from its letters, and the next free one is taken if that is in use. The original's answer to equal capacities is the
/// first of the equals in this order.
pub(super) fn bucket_order(keys: &[&str]) -> Vec<usize> {
    let mut table = Buckets { slots: vec![None; 8], used: 0 };
    for (k, key) in keys.iter().enumerate() {
        table.put(letters_hash(key), k);
    }
    table.slots.iter().flatten().map(|(_, k)| *k).collect()
}

fn letters_hash(key: &str) -> u32 {
    let one = |h: u32, b: u8| h.wrapping_mul(31).wrapping_add_signed(i32::from(b.cast_signed()));
    key.bytes().fold(0_u32, one).max(2)
}

struct Buckets {
    slots: Vec<Option<(u32, usize)>>,
    used: usize,
}

/// For tables of 8, 16, ... places, the prime below the size that spreads the keys.
const PRIMES: [u32; 14] = [7, 13, 31, 61, 127, 251, 509, 1021, 2039, 4093, 8191, 16_381, 32_749, 65_521];

impl Buckets {
    fn home(&self, hash: u32) -> usize {
        let row = (self.slots.len().trailing_zeros() as usize).saturating_sub(3);
        let prime = PRIMES.get(row).copied().unwrap_or(65_521);
        (hash.wrapping_mul(11) % prime) as usize
    }

    fn next(&self, at: usize, step: &mut usize) -> usize {
        *step += 1;
        (at + *step) & (self.slots.len() - 1)
    }

    fn put(&mut self, hash: u32, k: usize) {
        let (mut at, mut step) = (self.home(hash), 0);
        while self.slots[at].is_some() {
            at = self.next(at, &mut step);
        }
        self.slots[at] = Some((hash, k));
        self.used += 1;
        if self.slots.len() <= self.used + self.used / 16 {
            self.grow();
        }
    }

    /// In place: every key goes to its new bucket, and whom it finds there goes on.
    fn grow(&mut self) {
        let old = self.slots.len();
        self.slots.resize((self.used * 1333 / 1000 + 1).next_power_of_two().max(8), None);
        let mut settled = vec![false; self.slots.len()];
        for from in 0..old {
            if settled[from] {
                continue;
            }
            let mut moving = self.slots[from].take();
            while let Some((hash, k)) = moving {
                let (mut at, mut step) = (self.home(hash), 0);
                while settled[at] {
                    at = self.next(at, &mut step);
                }
                settled[at] = true;
                moving = self.slots[at].replace((hash, k));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    /// As the original's library has them.
    #[test]
    fn buckets_come_in_the_original_s_order() {
        let walk = |keys: &[String]| {
            let refs: Vec<&str> = keys.iter().map(String::as_str).collect();
            super::bucket_order(&refs).into_iter().map(|k| keys[k].clone()).collect::<Vec<_>>().join(" ")
        };
        let numbers = |n: u32| (1..=n).map(|k| k.to_string()).collect::<Vec<_>>();
        assert_eq!(walk(&numbers(7)), "1 3 5 7 2 4 6");
        assert_eq!(walk(&numbers(20)), "10 20 3 13 16 6 9 19 1 11 4 14 7 17 2 12 15 5 8 18");
        let letters: Vec<String> = ('a'..='t').map(|c| format!("node-{c}")).collect();
        let order = walk(&letters).replace("node-", "").replace(' ', "");
        assert_eq!(order, "nqctfiloardgjmpbsehk");
    }

    #[test]
    fn a_stable_sort_keeps_equals_in_order() {
        let mut list: Vec<(u8, usize)> = [3, 1, 2, 1, 3, 2, 1].into_iter().zip(0..).collect();
        let mut wanted = list.clone();
        wanted.sort_by_key(|x| x.0);
        super::merge_sort(&mut list, &mut |a, b| a.0.cmp(&b.0));
        assert_eq!(list, wanted);
    }
}
