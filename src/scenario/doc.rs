//! Every field and knob: its meaning, type, default and range, read from the same source that defines it, so that it cannot rot.

use super::diag::nearest;
use std::sync::OnceLock;

/// A field or a word of scenario files.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its path, `keepalived.advert_int`.
    pub path: String,
    /// Its type.
    pub kind: String,
    /// Meaning, unit, default, range.
    pub text: String,
    /// Where the real product says so.
    pub source: &'static str,
}

const FILES: &[(&str, &str)] = &[
    (include_str!("types.rs"), "firedrill's scenario format"),
    (include_str!("../proto/vrrp/config.rs"), "keepalived.conf(5); RFC 3768, RFC 5798"),
    (include_str!("../proto/haproxy/config.rs"), "HAProxy configuration manual"),
    (include_str!("../proto/client/config.rs"), "tcp(7), ip-sysctl"),
    (include_str!("../proto/etcd/config.rs"), "etcd configuration options"),
    (include_str!("../proto/consul/config.rs"), "Consul agent configuration reference"),
    (include_str!("../proto/postgres/config.rs"), "PostgreSQL documentation, chapter 20"),
    (include_str!("../proto/patroni/config.rs"), "Patroni documentation: dynamic and YAML configuration"),
    (include_str!("../proto/dns/config.rs"), "RFC 1035, RFC 2136"),
    (include_str!("../proto/app/config.rs"), "libpq, pgJDBC and HikariCP documentation"),
    (include_str!("../proto/lvs/config.rs"), "keepalived.conf(5); ipvsadm(8); Linux, ipvs-sysctl"),
    (include_str!("../proto/pgpool/config.rs"), "pgpool-II 4.7 manual, chapter \"Server Configuration\""),
    (include_str!("../proto/batch/config.rs"), "slurm.conf(5), sbatch(1), Slurm's scheduling pages"),
    (include_str!("../proto/heartbeat/config.rs"), "ha.cf(5)"),
    (include_str!("../proto/sbd/config.rs"), "sbd(8)"),
    (include_str!("../proto/fence/config.rs"), "fence agents' library; IPMI 2.0"),
    (include_str!("../proto/crm/config.rs"), "Pacemaker Explained; Pacemaker 2.1.5"),
    (include_str!("../proto/corosync/config.rs"), "corosync.conf(5), votequorum(5), corosync-qdevice(8)"),
];

fn prefix(container: &str) -> Option<String> {
    Some(match container {
        "Keepalived" | "HAProxy" | "Client" | "Drill" | "Etcd" | "Consul" | "Postgres" | "Patroni"
        | "Dns" | "Resolver" | "Application" | "Lvs" | "Slurmctld" | "Slurmd" | "Sbatch" | "Nfs"
        | "Pgpool" | "FenceDevice" | "Heartbeat" | "Sbd" | "SbdDisk" | "Corosync" | "Qnetd" | "Pacemaker" => {
            format!("{}.", container.to_lowercase())
        }
        "VrrpInstance" => "keepalived.vrrp_instance.NAME.".to_owned(),
        "Job" => "sbatch.jobs[].".to_owned(),
        "VrrpScript" => "keepalived.track_script[].".to_owned(),
        "Section" => "haproxy.listen.NAME.".to_owned(),
        "Server" => "haproxy.listen.NAME.server[].".to_owned(),
        "Record" => "dns.records.NAME.".to_owned(),
        "Pool" => "application.pool.".to_owned(),
        "WebServer" => "server.".to_owned(),
        "Backend" => "pgpool.backends[].".to_owned(),
        "VirtualServer" => "lvs.virtual_server[].".to_owned(),
        "RealServer" => "lvs.virtual_server[].real_server[].".to_owned(),
        "Schedule" => "lvs.virtual_server[].real_server[].check[].".to_owned(),
        "HttpGet" => "lvs.virtual_server[].real_server[].check[].HTTP_GET.".to_owned(),
        "Misc" => "lvs.virtual_server[].real_server[].check[].MISC_CHECK.".to_owned(),
        "TrackInterface" => "keepalived.track_interface[].".to_owned(),
        "Device" => "corosync.device.".to_owned(),
        "Cluster" => "stack.pacemaker.".to_owned(),
        "Times" => "stack.pacemaker.times.".to_owned(),
        "Primitive" => "stack.pacemaker.resources[].Primitive.".to_owned(),
        "Group" => "stack.pacemaker.resources[].Group.".to_owned(),
        "CloneOf" => "stack.pacemaker.resources[].Clone.".to_owned(),
        "AgentTimes" => "stack.pacemaker.resources[].Primitive.times.".to_owned(),
        "Operation" => "stack.pacemaker.resources[].Primitive.op[].".to_owned(),
        "FencingLevel" => "stack.pacemaker.fencing_topology[].".to_owned(),
        "Network" => "networks.NAME.".to_owned(),
        "Host" => "hosts.NAME.".to_owned(),
        "Sysctl" => "hosts.NAME.sysctl.".to_owned(),
        "Stack" => "stack.".to_owned(),
        "Measured" => "drill.measured.".to_owned(),
        "MeasuredMark" => "drill.measured.marks[].".to_owned(),
        "Fault" | "Target" | "Expect" | "Invariant" | "Witness" | "Condition" | "Plane" | "FreezeMode"
        | "FreezeClock" | "WatchdogKind" | "Algorithm" | "Kind" | "Script" | "Transport" | "Distribution"
        | "Every" | "SchedulerType" | "Launcher" | "OnFailure" | "Check" | "Protocol" | "InitialState"
        | "When" | "At" | "Role" | "Mode" | "Balance" | "OnMarkedDown" | "OnMarkedUp" | "Observe"
        | "OnError" | "Pace" | "Driver" | "Attrs" | "LoadBalance" | "Connections" | "OnTimeout"
        | "AfterError" | "Evict" | "NameCache" | "SubMode" | "Flag" | "Pick" | "Management" | "OnWrite"
        | "Command" | "Follow" | "IdleLimit" | "Lifecheck" | "Version" | "DeviceKind" | "DeviceMode"
        | "StopMode" | "Race" | "Conflict" | "Resource" | "Cloned" | "Constraint" | "Operator" => {
            format!("{container}.")
        }
        _ => return None,
    })
}

/// The type of a knob, by its last name.
pub fn kind(field: &str) -> Option<&'static str> {
    rows().iter().find(|r| r.path.rsplit('.').next() == Some(field)).map(|r| r.kind.as_str())
}

fn rows() -> &'static [Row] {
    static ROWS: OnceLock<Vec<Row>> = OnceLock::new();
    ROWS.get_or_init(|| FILES.iter().flat_map(|(text, source)| scan(text, source)).collect())
}

fn scan(text: &str, source: &'static str) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut doc: Vec<&str> = Vec::new();
    let mut inside: Option<(String, bool)> = None;
    for line in text.lines() {
        let t = line.trim();
        if let Some(d) = t.strip_prefix("///") {
            doc.push(d.trim());
            continue;
        }
        if t.starts_with("#[") {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let name_of = |rest: &str| {
            rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or("").to_owned()
        };
        if let Some(rest) = t.strip_prefix("pub struct ") {
            inside = prefix(&name_of(rest)).map(|p| (p, false));
        } else if let Some(rest) = t.strip_prefix("pub enum ") {
            inside = prefix(&name_of(rest)).map(|p| (p, true));
        } else if t == "}" && indent == 0 {
            inside = None;
        } else if let (Some((p, is_enum)), 4) = (&inside, indent) {
            let field = t.strip_prefix("pub ").filter(|_| !is_enum).and_then(|f| f.split_once(": "));
            if let Some((name, kind)) = field {
                let kind = kind.trim_end_matches(',').to_owned();
                rows.push(Row { path: format!("{p}{name}"), kind, text: doc.join(" "), source });
            } else if *is_enum && t.starts_with(char::is_alphabetic) && !doc.is_empty() {
                let kind = t.trim_end_matches(['{', ',', ' ']).to_owned();
                rows.push(Row { path: format!("{p}{}", name_of(t)), kind, text: doc.join(" "), source });
            }
        }
        doc.clear();
    }
    rows
}

/// The paths of all knobs.
pub fn paths() -> impl Iterator<Item = &'static str> {
    rows().iter().map(|r| r.path.as_str())
}

/// What there is to say of a knob; `Err` has a suggestion.
pub fn doc(knob: &str) -> Result<String, String> {
    let same = |r: &&Row| {
        r.path.eq_ignore_ascii_case(knob)
            || r.path.rsplit('.').next().is_some_and(|last| last.eq_ignore_ascii_case(knob))
            || r.path.to_lowercase().starts_with(&format!("{}.", knob.to_lowercase()))
    };
    let found: Vec<&Row> = rows().iter().filter(same).collect();
    if found.is_empty() {
        let names = rows().iter().flat_map(|r| [r.path.as_str(), r.path.rsplit('.').next().unwrap_or("")]);
        let hint = nearest(knob, names)
            .map_or("`firedrill doc` lists them all".to_owned(), |n| format!("did you mean `{n}`?"));
        return Err(format!("there is no knob `{knob}`; {hint}"));
    }
    let page = |r: &&Row| format!("{}\n  {}\n  type: {}\n  source: {}\n", r.path, r.text, r.kind, r.source);
    Ok(found.iter().map(page).collect::<Vec<_>>().join("\n"))
}

/// Meaning, range and source of a knob, by its last name, in one sentence.
pub fn about(field: &str) -> Option<String> {
    let row = rows().iter().find(|r| r.path.rsplit('.').next() == Some(field))?;
    Some(format!("{} ({})", row.text.trim_end_matches('.'), row.source))
}

/// One line for every knob.
pub fn index() -> String {
    rows().iter().map(|r| format!("{:<44} {}\n", r.path, r.text.split(". ").next().unwrap_or(""))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_every_configuration_is_documented() {
        for r in rows() {
            assert!(r.text.len() > 8, "{} has no text", r.path);
        }
        for knob in [
            "keepalived.advert_int",
            "client.timeout",
            "haproxy.bind",
            "networks.NAME.latency",
            "Fault.Freeze",
        ] {
            assert!(paths().any(|p| p == knob), "{knob}");
        }
        assert!(doc("advert_int").unwrap().contains("Default 1 s"));
        assert!(doc("advert_itn").unwrap_err().contains("advert_int"));
    }
}
