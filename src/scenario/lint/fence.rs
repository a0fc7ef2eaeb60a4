//! What can be wrong with a fence device.

use super::Lint;
use crate::proto::fence::FenceDevice;
use crate::proto::fence::config::DeviceKind;
use crate::scenario::diag::nearest;
use crate::scenario::types::Stack;

pub(super) fn device(l: &mut Lint<'_>, stack: &Stack, (path, host): (&str, &str), f: &FenceDevice) {
    let at = |field: &str| format!("{path}.{field}");
    if f.hosts.is_empty() && f.ports.is_empty() {
        let help = Some("add `hosts: [\"db1\"]`".to_owned());
        l.error(path, "a fence device that has nobody's power in hand", help);
    }
    let named = f.hosts.iter().enumerate().map(|(i, h)| (at(&format!("hosts[{i}]")), h));
    let named = named.chain(f.ports.iter().map(|(p, h)| (at(&format!("ports.{p}")), h)));
    let named = named.chain(f.shares_power.iter().map(|h| (at("shares_power"), h)));
    for (place, h) in named {
        if !stack.hosts.contains_key(h) {
            let help =
                nearest(h, stack.hosts.keys().map(String::as_str)).map(|n| format!("did you mean `{n}`?"));
            l.error(&place, format!("there is no host `{h}`"), help);
        } else if h == host {
            let help = Some(
                "a fence device is a host of its own: a BMC keeps running when its host is off".to_owned(),
            );
            l.error(&place, "the device would switch itself off", help);
        }
    }
    if let Some((port, _)) = f.ports.iter().find(|(p, _)| f.hosts.contains(p)) {
        l.error(&at(&format!("ports.{port}")), format!("there are two ports `{port}`"), None);
    }
    if f.kind == DeviceKind::Bmc && f.all_ports().count() > 1 {
        let help = Some("one BMC a host; `kind: Pdu` has many ports".to_owned());
        l.error(path, "a BMC has the power button of one host", help);
    }
    if f.kind != DeviceKind::Switch && !f.networks.is_empty() {
        l.error(&at("networks"), "only a switch shuts network ports", Some("`kind: Switch`".to_owned()));
    }
    for (i, n) in f.networks.iter().enumerate() {
        if !stack.networks.contains_key(n) {
            let help =
                nearest(n, stack.networks.keys().map(String::as_str)).map(|n| format!("did you mean `{n}`?"));
            l.error(&at(&format!("networks[{i}]")), format!("there is no network `{n}`"), help);
        }
    }
    let longest = crate::engine::Span::secs(3600);
    for (field, range) in [
        ("off_time", f.off_time),
        ("on_time", f.on_time),
        ("confirm_time", f.confirm_time),
        ("status_time", f.status_time),
    ] {
        if range.max > longest {
            l.error(&at(field), format!("{field} goes from 0s to 1h"), None);
        }
    }
}
