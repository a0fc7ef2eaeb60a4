//! The knobs of PostgreSQL, under their own names and with their own defaults, and the process times and rates of the model.

use super::data::Physics;
use crate::engine::time::text_serde;
use crate::engine::{Chance, Span, SpanRange};
use crate::node::process::Signal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Bytes, written as PostgreSQL writes them: `"8kB"`, `"16MB"`, `"1GB"` (each unit is 1024 of the one before).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Size(pub u64);
impl Size {
    /// So many kilobytes.
    pub const fn kb(n: u64) -> Self {
        Size(n << 10)
    }
    /// So many megabytes.
    pub const fn mb(n: u64) -> Self {
        Size(n << 20)
    }
    /// So many gigabytes.
    pub const fn gb(n: u64) -> Self {
        Size(n << 30)
    }
}
const UNITS: [(&str, u32); 5] = [("TB", 40), ("GB", 30), ("MB", 20), ("kB", 10), ("B", 0)];
impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = (&text[..split], text[split..].trim_start());
        let hint = "expected a whole number of bytes with a unit, such as `8kB`, `16MB` or `1GB`";
        let Ok(number) = number.parse::<u64>() else { return Err(hint.to_owned()) };
        let Some((_, shift)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(if unit.is_empty() && number != 0 {
                format!("a size needs a unit: write `{number}MB` or `{number}kB`")
            } else if unit.is_empty() {
                return Ok(Size(0));
            } else {
                format!("`{unit}` is not a unit of size; use one of B, kB, MB, GB, TB")
            });
        };
        match number.checked_mul(1 << shift) {
            Some(bytes) => Ok(Size(bytes)),
            None => Err("this is more than there can be".to_owned()),
        }
    }
}
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, shift) = UNITS
            .iter()
            .find(|(_, shift)| self.0 > 0 && self.0.trailing_zeros() >= *shift)
            .unwrap_or(&("B", 0));
        f.pad(&format!("{}{name}", self.0 >> shift))
    }
}
impl fmt::Debug for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
text_serde!(Size, "a size in quotes with a unit, such as \"16MB\" or \"1GB\"");

/// How long so many bytes take at so many bytes a second.
pub fn span_of(bytes: u64, rate: u64) -> Span {
    Span(u64::try_from(u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1))).unwrap_or(u64::MAX))
}

/// When a commit is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SynchronousCommit {
    /// `off`: at once; the WAL writer flushes later.
    Off,
    /// `local`: when it is flushed here.
    Local,
    /// `remote_write`: and written by the synchronous standbys.
    RemoteWrite,
    /// `on`: and flushed by them.
    #[default]
    On,
    /// `remote_apply`: and applied by them.
    RemoteApply,
}

/// A PostgreSQL server. On a host that runs Patroni it is started, stopped and promoted by Patroni; elsewhere it starts at boot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Postgres {
    /// When a commit is acknowledged. Off, Local, RemoteWrite, On or RemoteApply. Default On.
    pub synchronous_commit: SynchronousCommit,
    /// Whom commits wait for: `a, b`, `FIRST 1 (a, b)`, `ANY 1 (a, b)` or `*`. Default: nobody. Under Patroni, Patroni sets it.
    pub synchronous_standby_names: String,
    /// The host that this server follows as a standby (`primary_conninfo`). Default: none, it is a primary. Under Patroni, Patroni sets it.
    pub primary_conninfo: Option<String>,
    /// The slot that a standby uses. Default: none. Under Patroni, Patroni sets it.
    pub primary_slot_name: Option<String>,
    /// A standby applies commits so much later. Default 0s.
    pub recovery_min_apply_delay: Span,
    /// A standby lets clients read. Default true.
    pub hot_standby: bool,
    /// How often the WAL writer flushes what commits with `synchronous_commit: Off` left. 1ms to 10s. Default 200ms.
    pub wal_writer_delay: Span,
    /// A standby that has not replied for so long is dropped; a reply is asked for after half of it. Default 60s; 0s: never.
    pub wal_sender_timeout: Span,
    /// An upstream that has sent nothing for so long is given up; it is asked after half of it. Default 60s; 0s: never.
    pub wal_receiver_timeout: Span,
    /// A standby tells its positions at least so often. Default 10s; 0s: only when they change.
    pub wal_receiver_status_interval: Span,
    /// A standby tries again after so long. 1ms and more. Default 5s.
    pub wal_retrieve_retry_interval: Span,
    /// WAL that is kept for standbys without a slot. Default 0B; under Patroni 128MB.
    pub wal_keep_size: Option<Size>,
    /// WAL that slots may keep. Default: no limit.
    pub max_slot_wal_keep_size: Option<Size>,
    /// Walsenders at a time, 0 to 262143. Default 10.
    pub max_wal_senders: u32,
    /// Slots, 0 to 262143. Default 10.
    pub max_replication_slots: u32,
    /// Sessions at a time, 1 to 262143. A standby needs at least as many as its primary has. Default 100.
    pub max_connections: u32,
    /// How many of them are for superusers. Less than `max_connections`. Default 3.
    pub superuser_reserved_connections: u32,
    /// Time between checkpoints, 30s to 1d. Default 5m.
    pub checkpoint_timeout: Span,
    /// WAL between checkpoints stays below this. 32MB and more. Default 1GB.
    pub max_wal_size: Size,
    /// The part of the time between checkpoints over which one is spread. Default 90%.
    pub checkpoint_completion_target: Chance,
    /// What a checkpoint writes at most. 128kB and more. Default 128MB.
    pub shared_buffers: Size,
    /// Hint bits are written to the WAL, which `pg_rewind` needs. Default false; under Patroni true.
    pub wal_log_hints: Option<bool>,
    /// Pages have checksums, which serves `pg_rewind` as well. Default false (as `initdb` before version 18).
    pub data_checksums: bool,
    /// Whole pages are in the WAL after a checkpoint. Default true.
    pub full_page_writes: bool,
    /// Process time: from the start of the server to its first answer. Default 100ms to 300ms (measured on a busy machine: up to seconds).
    pub startup_time: SpanRange,
    /// Process time: fork and authentication of a session. Default 1ms to 5ms (estimate).
    pub connection_time: SpanRange,
    /// Process time: from the end of replay to the end of a promotion, without the disk. Default 50ms to 250ms (measured: below 300ms).
    pub promote_time: SpanRange,
    /// Process time: what the server's processes need to end. Default 20ms to 100ms (estimate).
    pub stop_time: SpanRange,
    /// Process time: the fixed part of a checkpoint that somebody waits for. Default 10ms to 50ms (estimate).
    pub checkpoint_time: SpanRange,
    /// Bytes a second that such a checkpoint writes: what changed since the last one, at most `shared_buffers`. Default 500MB (estimate).
    pub checkpoint_rate: Size,
    /// Bytes of WAL a second that a standby applies. Default 100MB (estimate: 50MB to 200MB).
    pub replay_rate: Size,
    /// Bytes of WAL a second that recovery after a crash, or to the consistent state of a standby, applies. Default 100MB (the same).
    pub recovery_rate: Size,
    /// Bytes of WAL a second that others than the clients of the drill write. Default 0B.
    pub background_wal_rate: Size,
    /// How often they commit. 1ms and more. Default 10ms.
    pub background_wal_interval: Span,
    /// Bytes a second that one walsender can send. Default 110MB (a network of 1 Gbit/s).
    pub replication_bandwidth: Size,
    /// Bytes under way to a standby that has not answered. Default 4MB (`tcp_wmem`).
    pub socket_buffer: Size,
    /// Bytes of the database, without WAL. Default 1GB.
    pub database_size: Size,
    /// Bytes a second of `pg_basebackup`. Default 100MB (estimate).
    pub base_backup_rate: Size,
    /// Bytes a second of `pg_rewind`. Default 100MB (estimate).
    pub rewind_rate: Size,
    /// Process time of `pg_rewind` before it copies. Default 1s (measured on a busy machine: 300ms to 8s).
    pub rewind_time: Span,
    /// Processor time of a SELECT; 0 s: none. Default 0 s.
    pub cpu_per_read: Span,
    /// Processor time of an INSERT, UPDATE and the like. Default 0 s.
    pub cpu_per_write: Span,
    /// Processor time of BEGIN, COMMIT, ROLLBACK, SET. Default 0 s.
    pub cpu_per_begin: Span,
    /// Tables that are not ordinary ones, or that hold something: `"u": (persistence: Unlogged)`. Default: none.
    pub tables: BTreeMap<String, super::sql::Table>,
    /// Functions that somebody has created: `"f": Stable`. Default: none (a function that is not known is volatile).
    pub functions: BTreeMap<String, super::sql::Volatility>,
    /// Room for WAL on the disk; when it is full, the server ends (PANIC). Default: no limit.
    pub wal_disk: Option<Size>,
}

impl Default for Postgres {
    fn default() -> Self {
        Postgres {
            synchronous_commit: SynchronousCommit::On,
            synchronous_standby_names: String::new(),
            primary_conninfo: None,
            primary_slot_name: None,
            recovery_min_apply_delay: Span::ZERO,
            hot_standby: true,
            wal_writer_delay: Span::ms(200),
            wal_sender_timeout: Span::secs(60),
            wal_receiver_timeout: Span::secs(60),
            wal_receiver_status_interval: Span::secs(10),
            wal_retrieve_retry_interval: Span::secs(5),
            wal_keep_size: None,
            max_slot_wal_keep_size: None,
            max_wal_senders: 10,
            max_replication_slots: 10,
            max_connections: 100,
            superuser_reserved_connections: 3,
            checkpoint_timeout: Span::secs(300),
            max_wal_size: Size::gb(1),
            checkpoint_completion_target: Chance { ppb: 900_000_000 },
            shared_buffers: Size::mb(128),
            wal_log_hints: None,
            data_checksums: false,
            full_page_writes: true,
            startup_time: SpanRange::new(Span::ms(100), Span::ms(300)),
            connection_time: SpanRange::new(Span::ms(1), Span::ms(5)),
            promote_time: SpanRange::new(Span::ms(50), Span::ms(250)),
            stop_time: SpanRange::new(Span::ms(20), Span::ms(100)),
            checkpoint_time: SpanRange::new(Span::ms(10), Span::ms(50)),
            checkpoint_rate: Size::mb(500),
            replay_rate: Size::mb(100),
            recovery_rate: Size::mb(100),
            background_wal_rate: Size(0),
            background_wal_interval: Span::ms(10),
            replication_bandwidth: Size::mb(110),
            socket_buffer: Size::mb(4),
            database_size: Size::gb(1),
            base_backup_rate: Size::mb(100),
            rewind_rate: Size::mb(100),
            rewind_time: Span::secs(1),
            cpu_per_read: Span::ZERO,
            cpu_per_write: Span::ZERO,
            cpu_per_begin: Span::ZERO,
            tables: BTreeMap::new(),
            functions: BTreeMap::new(),
            wal_disk: None,
        }
    }
}

impl Postgres {
    /// What the data directory and the tools that work on it need to know; `managed`: with Patroni's own defaults.
    pub fn physics(&self, managed: bool) -> Physics {
        let keep = self.wal_keep_size.unwrap_or(if managed { Size::mb(128) } else { Size(0) });
        Physics {
            can_rewind: self.full_page_writes
                && (self.data_checksums || self.wal_log_hints.unwrap_or(managed)),
            wal_keep_size: keep.0,
            max_slot_wal_keep_size: self.max_slot_wal_keep_size.map(|s| s.0),
            database_size: self.database_size.0,
            base_backup_rate: self.base_backup_rate.0,
            rewind_rate: self.rewind_rate.0,
            rewind_time: self.rewind_time,
            recovery_rate: self.recovery_rate.0,
            startup_time: self.startup_time.max,
        }
    }
}

/// The way in which a server stops, the harder the later. In a file: `smart`, `fast`, `immediate`, as `pg_ctl stop -m` has them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopMode {
    /// SIGTERM: when the last client has gone.
    Smart,
    /// SIGINT: clients are turned out.
    #[default]
    Fast,
    /// SIGQUIT: at once, without a checkpoint.
    Immediate,
}
impl StopMode {
    /// The signal that asks for it.
    pub const fn signal(self) -> Signal {
        match self {
            StopMode::Smart => Signal::Term,
            StopMode::Fast => Signal::Int,
            StopMode::Immediate => Signal::Quit,
        }
    }
    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            StopMode::Smart => "smart",
            StopMode::Fast => "fast",
            StopMode::Immediate => "immediate",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_and_print_the_same() {
        for (text, bytes) in [("0B", 0), ("100B", 100), ("8kB", 8192), ("16MB", 16 << 20), ("1GB", 1 << 30)] {
            assert_eq!(text.parse::<Size>(), Ok(Size(bytes)));
            assert_eq!(Size(bytes).to_string(), text);
        }
        assert!("16".parse::<Size>().unwrap_err().contains("needs a unit"));
        assert!("16MiB".parse::<Size>().unwrap_err().contains("not a unit"));
        assert_eq!(span_of(Size::mb(500).0, Size::mb(100).0), Span::secs(5));
    }
}
