//! Maps: two settings, and for each pair of values whether the architecture is safe, unavailable or unsafe.
//!
//! A run is *unsafe* if a figure that must be zero is not (default: `split_brain_ms`), *unavailable* if a client's writes failed for
//! longer than the limit or were still failing at the end. A cell is as bad as its worst run and names the seed of that run. All other
//! settings and all seeds of a pair of values fall into one cell.

use super::analysis::{groups, values};
use super::row::Row;
use crate::trace::metrics::Metric;

/// What a cell is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Class {
    /// Neither of the others.
    #[default]
    Safe,
    /// Clients wait too long.
    Unavailable,
    /// What must never happen happens.
    Unsafe,
}
impl Class {
    /// The letter that stands for it, so that meaning is never in colour alone.
    pub const fn letter(self) -> char {
        match self {
            Class::Safe => '.',
            Class::Unavailable => '-',
            Class::Unsafe => 'X',
        }
    }
}

/// When a run is unsafe, and when unavailable.
#[derive(Clone, PartialEq, Debug)]
pub struct Rules {
    /// Columns that must be zero or absent.
    pub never: Vec<String>,
    /// The longest outage of writes that is accepted, in milliseconds.
    pub outage_ms: f64,
}
impl Default for Rules {
    fn default() -> Self {
        Rules { never: vec![Metric::SplitBrain.name().to_owned()], outage_ms: 60_000.0 }
    }
}
impl Rules {
    /// What a run is.
    pub fn class(&self, row: &Row) -> Class {
        let over = |c: &String| row.number(c).is_some_and(|v| v > 0.0);
        let outage = row.number(Metric::WriteOutageMax.name()).unwrap_or(0.0);
        if self.never.iter().any(over) {
            Class::Unsafe
        } else if outage > self.outage_ms || row.metrics.get(Metric::OpenOutages) > 0 {
            Class::Unavailable
        } else {
            Class::Safe
        }
    }
}

/// A cell.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Cell {
    /// What it is.
    pub class: Class,
    /// Its runs, those of them that are unsafe, and those that are unavailable.
    pub runs: [u64; 3],
    /// The first of its worst runs: all its settings, and its seed.
    pub worst: Option<(Vec<(String, String)>, u64)>,
}

/// A map.
#[derive(Clone, PartialEq, Debug)]
pub struct Map {
    /// The settings across and upwards.
    pub knobs: [String; 2],
    /// The columns' values.
    pub xs: Vec<String>,
    /// The rows' values, the lowest first.
    pub ys: Vec<String>,
    /// The cells, row by row; `None`: no run has this pair.
    pub cells: Vec<Option<Cell>>,
}

impl Map {
    /// A map of rows over two of their settings.
    pub fn of(rows: &[Row], x: &str, y: &str, rules: &Rules) -> Map {
        let axis = |knob: &str| {
            let all = values(rows, knob);
            let (of, names) = groups(&all, 24, 12);
            (all, of, names)
        };
        let (all_x, of_x, xs) = axis(x);
        let (all_y, of_y, ys) = axis(y);
        let index = |all: &[String], of: &[usize], v: Option<&str>| {
            v.and_then(|v| all.iter().position(|a| a == v)).and_then(|i| of.get(i).copied())
        };
        let mut cells: Vec<Option<Cell>> = vec![None; xs.len() * ys.len()];
        for row in rows {
            let (Some(i), Some(j)) = (index(&all_x, &of_x, row.knob(x)), index(&all_y, &of_y, row.knob(y)))
            else {
                continue;
            };
            let class = rules.class(row);
            let cell = cells[j * xs.len() + i].get_or_insert_default();
            cell.runs[0] += 1;
            match class {
                Class::Unsafe => cell.runs[1] += 1,
                Class::Unavailable => cell.runs[2] += 1,
                Class::Safe => {}
            }
            if class > cell.class || cell.worst.is_none() {
                cell.class = class;
                cell.worst = Some((row.knobs.clone(), row.seed));
            }
        }
        Map { knobs: [x.to_owned(), y.to_owned()], xs, ys, cells }
    }
    /// The cell of a column and a row.
    pub fn cell(&self, i: usize, j: usize) -> Option<&Cell> {
        self.cells.get(j * self.xs.len() + i).and_then(Option::as_ref)
    }
    /// The cells that are not safe, the worst class first, then row by row: column, row, cell.
    pub fn bad(&self) -> Vec<(usize, usize, &Cell)> {
        let n = self.xs.len().max(1);
        let all = self.cells.iter().enumerate().filter_map(|(k, c)| Some((k % n, k / n, c.as_ref()?)));
        let mut bad: Vec<_> = all.filter(|c| c.2.class != Class::Safe).collect();
        bad.sort_by_key(|c| std::cmp::Reverse(c.2.class));
        bad
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(x: u64, y: u64, seed: u64, split: u64, outage: u64) -> Row {
        let knobs = vec![("x".to_owned(), format!("{x}s")), ("y".to_owned(), format!("{y}s"))];
        let mut r = Row { knobs, seed, ..Row::default() };
        r.metrics.set(Metric::SplitBrain, split);
        r.metrics.set(Metric::WriteOutageMax, outage);
        r
    }

    #[test]
    fn a_cell_is_as_bad_as_its_worst_run_and_names_it() {
        let rows = [
            row(10, 1, 1, 0, 0),
            row(10, 1, 2, 0, 60_000_001),
            row(10, 1, 3, 5, 0),
            row(10, 1, 4, 9, 0),
            row(9, 2, 5, 0, 60_000_000),
            row(10, 2, 6, 0, 61_000_000),
        ];
        let m = Map::of(&rows, "x", "y", &Rules::default());
        assert_eq!(
            (m.xs.as_slice(), m.ys.as_slice()),
            (&["9s".to_owned(), "10s".to_owned()][..], &["1s".to_owned(), "2s".to_owned()][..])
        );
        assert_eq!(m.cell(0, 0), None);
        let c = m.cell(1, 0).unwrap();
        assert_eq!((c.class, c.runs, c.worst.as_ref().unwrap().1), (Class::Unsafe, [4, 2, 1], 3));
        assert_eq!(m.cell(0, 1).unwrap().class, Class::Safe);
        assert_eq!(m.cell(1, 1).unwrap().class, Class::Unavailable);
        let bad: Vec<_> = m.bad().iter().map(|b| (b.0, b.1)).collect();
        assert_eq!(bad, [(1, 0), (1, 1)]);
    }
    #[test]
    fn a_service_that_never_came_back_is_unavailable() {
        let mut r = row(1, 1, 1, 0, 1);
        r.metrics.set(Metric::OpenOutages, 1);
        assert_eq!(Rules::default().class(&r), Class::Unavailable);
        let rules = Rules { never: vec!["lost_writes".to_owned()], ..Rules::default() };
        r.metrics.set(Metric::LostWrites, 1);
        assert_eq!(rules.class(&r), Class::Unsafe);
        assert_eq!(rules.class(&row(1, 1, 1, 3, 0)), Class::Safe);
    }
}
