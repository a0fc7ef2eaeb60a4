//! `register_service`: the member as a service of Consul, found by DNS as `ROLE.SCOPE.service.consul`.
//!
//! Source: Patroni 4.1.5, `dcs/consul.py` (`update_service`, `_update_service`, `service_name_from_scope_name`). It plays no part in who leads.

use super::cluster::ip_of;
use super::{MemberData, Setup, Text};
use crate::engine::Span;
use crate::net::addr::Endpoint;
use crate::proto::consul::msg::{Request, Service};
use crate::proto::patroni::REST_PORT;
use std::sync::Arc;

/// A service that has been critical for so many times the session's time is taken out.
const DEREGISTER: u64 = 10;

/// What is registered.
#[derive(Clone, Debug)]
pub(super) struct Services {
    name: Text,
    id: Text,
    tags: Vec<Text>,
    interval: Span,
    /// The last try failed: the next one comes whatever has changed.
    failed: bool,
}

/// The name of the service: lower case, with dashes for what DNS does not take.
pub fn service_name(scope: &str) -> String {
    let mut name = String::new();
    for c in scope.to_lowercase().chars() {
        match c {
            'a'..='z' | '0'..='9' | '-' => name.push(c),
            '.' | '_' | ' ' => name.push('-'),
            c => name.push_str(&format!("u{:04}", c as u32)),
        }
    }
    name.truncate(230);
    name
}

impl Services {
    pub(super) fn new(setup: &Setup) -> Self {
        let mut tags = setup.consul.service_tags.clone();
        tags.sort();
        Services {
            name: service_name(&setup.scope).into(),
            id: format!("{}/{}", setup.scope, setup.name).into(),
            tags,
            interval: setup.consul.service_check_interval,
            failed: false,
        }
    }
    /// What the agent is to be told, if role, state or addresses have changed.
    pub(super) fn update(
        &mut self,
        known: Option<&MemberData>,
        new: &MemberData,
        session_ttl: Span,
    ) -> Option<Request> {
        if [&new.role, &new.api_url, &new.conn_url, &new.state].iter().any(|s| s.is_empty()) {
            return None;
        }
        let same = known.is_some_and(|k| {
            k.role == new.role
                && k.api_url == new.api_url
                && k.conn_url == new.conn_url
                && k.state == new.state
        });
        if same && !self.failed {
            return None;
        }
        if &*new.state == "stopped" {
            return Some(Request::ServiceDeregister(self.id.clone()));
        }
        let role = new.role.replace('_', "-");
        if !["primary", "replica", "standby-leader"].contains(&&*role) || &*new.state != "running" {
            self.failed = false;
            return None;
        }
        let mut tags = self.tags.clone();
        tags.push(role.as_str().into());
        if role == "primary" {
            tags.push("master".into());
        }
        let api = ip_of(&new.api_url)?;
        Some(Request::ServiceRegister(Arc::new(Service {
            id: self.id.clone(),
            name: self.name.clone(),
            tags,
            address: ip_of(&new.conn_url)?,
            check: (Endpoint::new(api, REST_PORT), format!("/{role}").into()),
            interval: self.interval,
            deregister_after: session_ttl.times(DEREGISTER),
        })))
    }
    /// Whether the agent took it.
    pub(super) fn answered(&mut self, ok: bool) {
        self.failed = !ok;
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_fit_dns() {
        assert_eq!(super::service_name("My_Cluster.1 a"), "my-cluster-1-a");
        assert_eq!(super::service_name("a!b"), "au0033b");
    }
}
