//! Queues: Poisson arrivals, exponential service, c servers, room for all or for K. Source: Erlang's formulas.

/// The probability that all of `c` servers are busy when nobody may wait (Erlang B), for an offered load `a`.
pub fn erlang_b(c: u32, a: f64) -> f64 {
    (1..=c).fold(1.0, |b, k| a * b / (f64::from(k) + a * b))
}

/// M/M/c: arrivals at rate `lambda`, `c` servers of rate `mu`, one queue.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct MMc {
    /// Arrivals per second.
    pub lambda: f64,
    /// Services per second of one server.
    pub mu: f64,
    /// Servers.
    pub c: u32,
}
impl MMc {
    /// The offered load, in servers.
    pub fn load(self) -> f64 {
        self.lambda / self.mu
    }
    /// The utilisation.
    pub fn rho(self) -> f64 {
        self.load() / f64::from(self.c)
    }
    /// Whether the queue stays finite.
    pub fn stable(self) -> bool {
        self.rho() < 1.0
    }
    /// The probability of having to wait (Erlang C).
    pub fn p_wait(self) -> f64 {
        let b = erlang_b(self.c, self.load());
        b / (1.0 - self.rho() * (1.0 - b))
    }
    fn spare(self) -> f64 {
        f64::from(self.c) * self.mu - self.lambda
    }
    /// Mean wait in the queue.
    pub fn wq(self) -> f64 {
        self.p_wait() / self.spare()
    }
    /// Mean time in the system.
    pub fn w(self) -> f64 {
        self.wq() + 1.0 / self.mu
    }
    /// Mean length of the queue (Little's law).
    pub fn lq(self) -> f64 {
        self.lambda * self.wq()
    }
    /// Mean number in the system.
    pub fn l(self) -> f64 {
        self.lambda * self.w()
    }
    /// The probability of waiting longer than `t`.
    pub fn p_wait_longer(self, t: f64) -> f64 {
        self.p_wait() * (-self.spare() * t).exp()
    }
}

/// M/M/c/K: as [`MMc`], with room for `k` in the system; who finds it full goes away.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct MMcK {
    /// Arrivals, servers, their rate.
    pub queue: MMc,
    /// Room, the servers' included.
    pub k: u32,
}
impl MMcK {
    /// The probabilities of 0 to `k` in the system.
    pub fn states(self) -> Vec<f64> {
        let (a, c) = (self.queue.load(), self.queue.c);
        let mut p = vec![1.0];
        for n in 1..=self.k {
            let last = p[p.len() - 1];
            p.push(last * a / f64::from(n.min(c)));
        }
        let sum: f64 = p.iter().sum();
        p.iter().map(|x| x / sum).collect()
    }
    /// The probability that an arrival finds no room.
    pub fn p_block(self) -> f64 {
        self.states()[self.k as usize]
    }
    /// Mean length of the queue.
    pub fn lq(self) -> f64 {
        let c = self.queue.c as usize;
        self.states().iter().enumerate().skip(c + 1).map(|(n, p)| (n - c) as f64 * p).sum()
    }
    /// The rate of arrivals that find room.
    pub fn accepted(self) -> f64 {
        self.queue.lambda * (1.0 - self.p_block())
    }
}

/// M/G/1 (Pollaczek and Khinchine): mean wait for a service of this mean and this mean square.
pub fn mg1_wait(lambda: f64, mean: f64, mean_square: f64) -> f64 {
    lambda * mean_square / (2.0 * (1.0 - lambda * mean))
}

/// Requests that fail while one of `n` equal servers refuses and nobody has noticed for `d` seconds: its share of the arrivals when they
/// are dealt out in turn.
pub fn losses_in_turn(lambda: f64, n: u32, d: f64) -> f64 {
    lambda * d / f64::from(n)
}
/// The same when the server with the fewest connections is chosen, as the others are never idle: the refusing one always has the fewest
/// and gets every arrival (the black hole). It is the most that can be lost.
pub fn losses_black_hole(lambda: f64, d: f64) -> f64 {
    lambda * d
}
