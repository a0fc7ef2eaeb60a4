//! The lifecheck by queries (`wd_lifecheck_method = query`): every `wd_interval` a session through each pgpool, this one among them.
//!
//! Source: `wd_lifecheck.c` (`check_pgpool_status_by_query`, `wd_ping_pgpool`, `create_conn`). All are asked at once; each has
//! `wd_interval / 2 + 1` whole seconds to let the session in (libpq: two at least), and no limit for the query. The round ends with the last answer,
//! then `wd_interval` passes. A pgpool has `wd_life_point` lives: a round without an answer costs one, an answer gives all back, without
//! lives it is dead: told once, and **never told alive again**. So a pgpool whose children are all busy, or whose servers are gone, is
//! judged dead by everybody and by itself, and ends. Before it begins, all must have answered, asked one after the other.

use super::super::Setup;
use super::msg::NodeId;
use crate::engine::Span;
use crate::net::Plane;
use crate::net::addr::Endpoint;
use crate::node::process::{Action, ConnId, Tcp, TcpOptions};
use crate::proto::postgres::msg::{Login, Sql, Statement, WriteId};
use crate::proto::postgres::sql::Command;
use crate::proto::{Cx, Msg};
use std::sync::Arc;

/// The lives of all pgpools.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Lives {
    left: Vec<u32>,
    dead: Vec<NodeId>,
}
impl Lives {
    /// All have all.
    pub fn new(nodes: usize, points: u32) -> Lives {
        Lives { left: vec![points; nodes], dead: Vec::new() }
    }
    /// A pgpool was asked; whether it is found dead by that.
    pub fn asked(&mut self, node: NodeId, answered: bool, points: u32) -> bool {
        let Some(left) = self.left.get_mut(usize::from(node)) else { return false };
        if answered {
            *left = points;
            return false;
        }
        *left = left.saturating_sub(1);
        if *left > 0 || self.dead.contains(&node) {
            return false;
        }
        self.dead.push(node);
        true
    }
}

/// How a question goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// The session is not open yet.
    Opens,
    /// It is, and the query is under way.
    Asks,
    /// It is over.
    Over(bool),
}
/// Questions under way.
#[derive(Clone, Debug, Default)]
pub struct Questions {
    asked: Vec<(NodeId, ConnId, Step)>,
}
impl Questions {
    /// How long a session may take to open.
    pub fn patience(setup: &Setup) -> Span {
        let seconds = setup.config.wd_interval.0 / 1_000_000_000;
        Span::secs((seconds / 2 + 1).max(2))
    }
    /// Asks a pgpool.
    pub fn ask(&mut self, setup: &Setup, node: NodeId, ctx: &mut Cx<'_>) {
        let mine = super::process::me(setup);
        let ip = if node == mine {
            setup.ip
        } else {
            super::process::peer_ip(setup, usize::from(node) - usize::from(node > mine))
        };
        let to = Endpoint::new(ip, setup.config.port);
        let conn = ctx.connect(to, Plane::client, TcpOptions::default());
        self.asked.push((node, conn, Step::Opens));
    }
    /// Sessions that are not open by now will not be waited for.
    pub fn give_up(&mut self, ctx: &mut Cx<'_>) {
        for (_, conn, step) in self.asked.iter_mut().filter(|a| a.2 == Step::Opens) {
            ctx.act(Action::Close(*conn));
            *step = Step::Over(false);
        }
    }
    /// Takes in what comes on a connection.
    pub fn news(&mut self, setup: &Setup, conn: ConnId, news: &Tcp<Msg>, ctx: &mut Cx<'_>) {
        let Some(a) = self.asked.iter_mut().find(|a| a.1 == conn && !matches!(a.2, Step::Over(_))) else {
            return;
        };
        let c = &setup.config;
        let answered = match news {
            Tcp::Connected => {
                let login = Login {
                    user: c.wd_lifecheck_user.as_str().into(),
                    database: c.wd_lifecheck_dbname.as_str().into(),
                    application: "lifecheck_ping".into(),
                    ..Login::default()
                };
                ctx.act(Action::TcpSend(conn, Msg::Sql(Sql::Login(Arc::new(login)))));
                return;
            }
            Tcp::Data(Msg::Sql(Sql::Ready(..))) => {
                a.2 = Step::Asks;
                let command = Arc::new(Command::parse(&c.wd_lifecheck_query));
                let id = WriteId { client: ctx.me, operation: conn.0, attempt: 0 };
                ctx.act(Action::TcpSend(conn, Msg::Sql(Sql::Query(0, Statement::Sql(command, id)))));
                return;
            }
            Tcp::Data(Msg::Sql(Sql::Done(..))) => true,
            Tcp::Data(Msg::Sql(Sql::Error(..) | Sql::Fatal(_))) => false,
            Tcp::Data(_) | Tcp::Accepted { .. } => return,
            Tcp::Closed | Tcp::Reset | Tcp::TimedOut | Tcp::Unreachable => false,
        };
        a.2 = Step::Over(answered);
        if matches!(news, Tcp::Data(_) | Tcp::Closed) {
            ctx.act(Action::Close(conn));
        }
    }
    /// Once nobody is waited for: who was asked, and whether it answered.
    pub fn over(&mut self) -> Option<Vec<(NodeId, bool)>> {
        let over = |s: &Step| matches!(s, Step::Over(_));
        if self.asked.is_empty() || !self.asked.iter().all(|a| over(&a.2)) {
            return None;
        }
        let asked = std::mem::take(&mut self.asked);
        Some(asked.into_iter().map(|a| (a.0, a.2 == Step::Over(true))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_rounds_without_an_answer_in_a_row_are_death_and_it_is_told_once() {
        let mut l = Lives::new(2, 3);
        for answered in [false, false, true, false, false] {
            assert!(!l.asked(1, answered, 3));
        }
        assert!(l.asked(1, false, 3), "the third in a row");
        for answered in [false, true, false, false, false] {
            assert!(!l.asked(1, answered, 3), "told once, and never told alive");
        }
        assert!(!l.asked(0, true, 3));
    }
}
