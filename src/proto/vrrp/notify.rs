//! What notify scripts do on their host.
//!
//! `pg_ctl promote` (its manual page; `src/bin/pg_ctl/pg_ctl.c`, `do_promote`) looks at the control file, and refuses a server that does
//! not run or is no standby; else it writes the file `promote` and sends SIGUSR1 to the postmaster. That is all: whether another server is
//! still writable, it cannot know.

use super::config::NotifyScript;
use super::note::Note;
use crate::node::process::{Action, Pid, Signal};
use crate::proto::postgres::data::{DataDir, DbState};
use crate::proto::{Cx, Note as Any};

/// The script acts. `postgres` is the server of the host.
pub(in crate::proto) fn run(script: NotifyScript, postgres: Option<Pid>, ctx: &mut Cx<'_>) {
    let NotifyScript::Promote = script;
    let done = is_standby(&ctx.files.pg);
    ctx.note(Any::Vrrp(Note::Notified { done }));
    if let (true, Some(pid)) = (done, postgres) {
        ctx.files.pg.promote_signal = true;
        ctx.act(Action::Signal(pid, Signal::Usr1));
    }
}

/// Whether the control file is that of a standby.
fn is_standby(data: &DataDir) -> bool {
    data.control.state == DbState::InArchiveRecovery
}
