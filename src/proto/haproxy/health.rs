//! How a server's health follows from its checks.
//!
//! Source: HAProxy `check.c` (2.6). One counter runs from 0 to `rise + fall - 1`; the server is up from `rise` on. A server begins at
//! `rise`: up, but its first failed check takes it down.

/// The counter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Health {
    value: u32,
    rise: u32,
    fall: u32,
}

impl Health {
    /// A server that has not been checked.
    pub fn new(rise: u32, fall: u32) -> Self {
        let (rise, fall) = (rise.max(1), fall.max(1));
        Health { value: rise, rise, fall }
    }
    /// Up.
    pub fn up(self) -> bool {
        self.value >= self.rise
    }
    /// Up, and all checks that it takes to be down would have to fail.
    pub fn steady(self) -> bool {
        self.value == self.top()
    }
    /// Down, and all checks that it takes to be up would have to be good.
    pub fn down(self) -> bool {
        self.value == 0
    }
    /// The counter and its highest value.
    pub fn value(self) -> (u32, u32) {
        (self.value, self.top())
    }
    fn top(self) -> u32 {
        self.rise + self.fall - 1
    }
    /// A good check.
    pub fn good(&mut self) {
        if self.value < self.top() {
            self.value += 1;
            if self.up() {
                self.value = self.top();
            }
        }
    }
    /// A failed check.
    pub fn failed(&mut self) {
        self.value = self.value.saturating_sub(1);
        if !self.up() {
            self.value = 0;
        }
    }
    /// One failed check is enough from now on.
    pub fn brink(&mut self) {
        if self.value > self.rise {
            self.value = self.rise + 1;
        }
    }
    /// The next failed check takes it down.
    pub fn edge(&mut self) {
        self.value = self.value.min(self.rise);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The states after each of a row of checks, from a steady server or from one that is down.
    fn row(mut h: Health, checks: &str) -> String {
        let mut after = String::new();
        for c in checks.chars() {
            if c == 's' {
                h.good()
            } else {
                h.failed()
            }
            after.push(if h.up() { 'U' } else { 'D' });
        }
        after
    }
    #[test]
    fn the_counter_counts_rows() {
        let fresh = Health::new(2, 3);
        assert_eq!(row(fresh, "f"), "D", "the first check decides");
        assert_eq!(row(fresh, "sff"), "UUU");
        let mut up = fresh;
        up.good();
        assert!(up.steady());
        assert_eq!(row(up, "ffsffsff"), "UUUUUUUU", "a success between resets");
        assert_eq!(row(up, "fff"), "UUD");
        let mut down = fresh;
        down.failed();
        assert!(down.down());
        assert_eq!(row(down, "sfss"), "DDDU");
        assert_eq!(row(Health::new(1, 1), "fsfs"), "DUDU");
    }
}
