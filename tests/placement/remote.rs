//! Random clusters with remote nodes, guests and bundles, and what may befall them. The first state is empty: the real program fills it, with
//! its own digests, and then something happens to it.

use super::generate::Dice;
use firedrill::proto::pacemaker::xml::{Element, parse};
use std::fmt::Write;

fn pairs(kind: &str, id: &str, list: &[(String, String)]) -> String {
    if list.is_empty() {
        return String::new();
    }
    let inner = list.iter().enumerate().fold(String::new(), |s, (k, (n, v))| {
        s + &format!("<nvpair id=\"{id}-{k}\" name=\"{n}\" value=\"{v}\"/>")
    });
    format!("<{kind} id=\"{id}\">{inner}</{kind}>")
}

struct Maker<'a> {
    d: &'a mut Dice,
    /// Members, remote nodes, guests.
    nodes: Vec<String>,
    /// What constraints may name.
    names: Vec<String>,
    clones: Vec<String>,
    promotables: Vec<String>,
    ids: usize,
}

impl Maker<'_> {
    fn meta(&mut self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut m: Vec<(String, String)> =
            more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let mut put = |k: &str, v: &str| m.push((k.into(), v.into()));
        if self.d.chance(12) {
            put("resource-stickiness", self.d.one(&["0", "1", "100", "INFINITY"]));
        }
        if self.d.chance(10) {
            put("priority", self.d.one(&["1", "5", "10"]));
        }
        if self.d.chance(5) {
            put("target-role", self.d.one(&["Stopped", "Started"]));
        }
        if self.d.chance(4) {
            put("is-managed", "false");
        }
        if self.d.chance(15) {
            put("migration-threshold", self.d.one(&["1", "2", "3"]));
        }
        m
    }

    fn primitive(&mut self, id: &str, kind: &str, meta: &[(&str, &str)]) -> String {
        let (class, provider) = if kind == "fence_dummy" { ("stonith", "") } else { ("ocf", "heartbeat") };
        let provider = match kind {
            "remote" | "Stateful" => " provider=\"pacemaker\"".to_owned(),
            _ if provider.is_empty() => String::new(),
            _ => format!(" provider=\"{provider}\""),
        };
        let meta = self.meta(meta);
        let mut ops = String::new();
        if kind == "Stateful" && self.d.chance(70) {
            ops = format!(
                "<op id=\"{id}-m\" name=\"monitor\" interval=\"10s\" role=\"Unpromoted\"/><op id=\"{id}-p\" name=\"monitor\" interval=\"11s\" role=\"Promoted\"/>"
            );
        } else if self.d.chance(70) {
            let fail = if self.d.chance(12) {
                format!(
                    " on-fail=\"{}\"",
                    self.d.one(&["fence", "block", "ignore", "standby", "restart-container", "stop"])
                )
            } else {
                String::new()
            };
            ops = format!(
                "<op id=\"{id}-m\" name=\"monitor\" interval=\"{}\"{fail}/>",
                self.d.one(&["10s", "30s"])
            );
        }
        let mut parameters: Vec<(String, String)> = Vec::new();
        if kind == "remote" {
            if self.d.chance(50) {
                parameters.push(("server".into(), format!("192.0.2.{}", 10 + self.d.below(80))));
            }
            if self.d.chance(30) {
                parameters.push(("reconnect_interval".into(), self.d.one(&["60", "5m", "0"]).into()));
            }
        }
        format!(
            "<primitive id=\"{id}\" class=\"{class}\"{provider} type=\"{kind}\">{}{}{}</primitive>\n",
            pairs("instance_attributes", &format!("{id}-ia"), &parameters),
            if ops.is_empty() { String::new() } else { format!("<operations>{ops}</operations>") },
            pairs("meta_attributes", &format!("{id}-ma"), &meta),
        )
    }

    fn name(&mut self, prefix: &str) -> String {
        self.ids += 1;
        format!("{prefix}{}", self.ids)
    }

    fn plain(&mut self) -> String {
        let id = self.name("p");
        self.names.push(id.clone());
        let moves = self.d.chance(20);
        self.primitive(&id, "Dummy", if moves { &[("allow-migrate", "true")] } else { &[] })
    }

    fn clone(&mut self) -> String {
        let (id, inner) = (self.name("c"), self.name("p"));
        let promotable = self.d.chance(40);
        let mut meta: Vec<(&str, &str)> = Vec::new();
        if promotable {
            meta.push(("promotable", "true"));
        }
        if self.d.chance(40) {
            meta.push(("interleave", "true"));
        }
        if self.d.chance(20) {
            meta.push(("notify", "true"));
        }
        if self.d.chance(25) {
            meta.push(("clone-max", self.d.one(&["2", "3"])));
        }
        self.names.push(id.clone());
        self.clones.push(id.clone());
        if promotable {
            self.promotables.push(id.clone());
        }
        let meta = self.meta(&meta);
        let child = self.primitive(&inner, if promotable { "Stateful" } else { "Dummy" }, &[]);
        format!(
            "<clone id=\"{id}\">{}{child}</clone>\n",
            pairs("meta_attributes", &format!("{id}-ma"), &meta)
        )
    }

    fn remote(&mut self) -> String {
        let id = self.name("remote");
        self.nodes.push(id.clone());
        let fixed = self.d.chance(15);
        self.primitive(&id, "remote", if fixed { &[("allow-migrate", "false")] } else { &[] })
    }

    fn guest(&mut self) -> String {
        let (vm, node) = (self.name("vm"), self.name("guest"));
        self.nodes.push(node.clone());
        self.names.push(vm.clone());
        let mut meta: Vec<(&str, &str)> = vec![("remote-node", &node)];
        if self.d.chance(30) {
            meta.push(("allow-migrate", "true"));
        }
        if self.d.chance(20) {
            meta.push(("remote-addr", "192.0.2.200"));
        }
        if self.d.chance(15) {
            meta.push(("remote-allow-migrate", self.d.one(&["true", "false"])));
        }
        let mut out = self.primitive(&vm, "VirtualDomain", &meta);
        if self.d.chance(15) {
            let group = self.name("g");
            let more = self.plain();
            self.names.push(group.clone());
            out = if self.d.chance(50) { out + &more } else { more + &out };
            out = format!("<group id=\"{group}\">{out}</group>\n");
        }
        if self.d.chance(12) {
            let inside = self.name("p");
            self.names.push(inside.clone());
            let holder = if self.d.chance(50) { vm } else { node };
            out += &self.primitive(&inside, "Dummy", &[("container", &holder)]);
        }
        out
    }

    fn bundle(&mut self) -> String {
        let id = self.name("box");
        let agent = self.d.one(&["docker", "podman", "podman", "rkt"]);
        let promoted = self.d.chance(35);
        let inside = self.d.chance(80);
        let mut more = String::new();
        if self.d.chance(80) {
            let _ = write!(more, " replicas=\"{}\"", 1 + self.d.below(3));
        }
        let range = self.d.chance(70);
        if self.d.chance(25) {
            more += " replicas-per-host=\"2\"";
        }
        if promoted {
            more += " promoted-max=\"1\"";
        }
        if self.d.chance(20) {
            more += " run-command=\"/bin/run\"";
        }
        if self.d.chance(20) {
            more += " network=\"host\"";
        }
        if self.d.chance(20) {
            more += " options=\"--log-driver=journald\"";
        }
        let mut net = String::new();
        if range {
            let _ = write!(net, " ip-range-start=\"192.0.2.{}\"", self.d.one(&["131", "253"]));
            if self.d.chance(40) {
                net += " host-netmask=\"24\" host-interface=\"eth0\"";
            }
        }
        if !range || self.d.chance(25) {
            net += " control-port=\"3333\"";
        }
        if self.d.chance(15) {
            net += " add-host=\"false\"";
        }
        let ports = if self.d.chance(40) {
            format!(
                "<port-mapping id=\"{id}-port\" port=\"80\"/><port-mapping id=\"{id}-port2\" port=\"81\" internal-port=\"8081\"/><port-mapping id=\"{id}-port3\" range=\"90-99\"/>"
            )
        } else {
            String::new()
        };
        let storage = if self.d.chance(50) {
            format!(
                "<storage><storage-mapping id=\"{id}-s1\" source-dir=\"/srv\" target-dir=\"/srv\" options=\"rw\"/><storage-mapping id=\"{id}-s2\" source-dir-root=\"/var/log/box\" target-dir=\"{}\"/></storage>",
                self.d.one(&["/var/log", "/etc/x"])
            )
        } else {
            String::new()
        };
        let meta = self.meta(&[]);
        let child = if inside {
            let inner = self.name("p");
            let notify = self.d.chance(20);
            self.primitive(
                &inner,
                if promoted { "Stateful" } else { "Dummy" },
                if notify { &[("notify", "true")] } else { &[] },
            )
        } else {
            String::new()
        };
        self.names.push(id.clone());
        self.clones.push(id.clone());
        if promoted && inside {
            self.promotables.push(id.clone());
        }
        format!(
            "<bundle id=\"{id}\">{}<{agent} image=\"box:latest\"{more}/><network{net}>{ports}</network>{storage}{child}</bundle>\n",
            pairs("meta_attributes", &format!("{id}-ma"), &meta)
        )
    }

    fn constraints(&mut self) -> String {
        let mut out = String::new();
        if self.names.is_empty() {
            return out;
        }
        let scores = ["INFINITY", "-INFINITY", "1", "50", "1000", "-100", "INFINITY"];
        for _ in 0..self.d.below(self.names.len() * 2 + 1) {
            let (id, score) = (self.name("loc"), self.d.one(&scores));
            let (r, n) = (self.d.below(self.names.len()), self.d.below(self.nodes.len()));
            let (rsc, node) = (self.names[r].clone(), self.nodes[n].clone());
            let role =
                if self.promotables.contains(&rsc) && self.d.chance(40) { " role=\"Promoted\"" } else { "" };
            if self.d.chance(12) {
                let kind = self.d.one(&["remote", "container", "cluster"]);
                let _ = writeln!(
                    out,
                    "<rsc_location id=\"{id}\" rsc=\"{rsc}\"><rule id=\"{id}-r\" score=\"{score}\"><expression id=\"{id}-e\" attribute=\"#kind\" operation=\"eq\" value=\"{kind}\"/></rule></rsc_location>"
                );
            } else {
                let more = if self.d.chance(6) { " resource-discovery=\"exclusive\"" } else { "" };
                let _ = writeln!(
                    out,
                    "<rsc_location id=\"{id}\" rsc=\"{rsc}\" node=\"{node}\" score=\"{score}\"{role}{more}/>"
                );
            }
        }
        for _ in 0..self.d.below(self.names.len() + 1) {
            let (a, b) = (self.d.below(self.names.len()), self.d.below(self.names.len()));
            let (a, b) = (self.names[a].clone(), self.names[b].clone());
            if a == b {
                continue;
            }
            let role = if self.promotables.contains(&b) && self.d.chance(60) {
                " with-rsc-role=\"Promoted\""
            } else {
                ""
            };
            if self.d.chance(50) {
                let (id, score) = (self.name("col"), self.d.one(&scores));
                let _ = writeln!(
                    out,
                    "<rsc_colocation id=\"{id}\" rsc=\"{a}\" with-rsc=\"{b}\" score=\"{score}\"{role}/>"
                );
            }
            if self.d.chance(60) {
                let kind = self.d.one(&["Mandatory", "Mandatory", "Optional", "Serialize"]);
                let (id, more) = (
                    self.name("ord"),
                    if role.is_empty() { "" } else { " first-action=\"promote\" then-action=\"start\"" },
                );
                let _ = writeln!(
                    out,
                    "<rsc_order id=\"{id}\" first=\"{b}\" then=\"{a}\" kind=\"{kind}\"{more}/>"
                );
            }
        }
        out
    }
}

/// A cluster that has just started.
pub(crate) fn cluster(d: &mut Dice) -> String {
    let members = 2 + d.below(3);
    let names: Vec<String> = (1..=members).map(|n| format!("node{n}")).collect();
    let mut m = Maker { d, nodes: names.clone(), names: vec![], clones: vec![], promotables: vec![], ids: 0 };
    let fencing = m.d.chance(60);
    let mut resources = String::new();
    for _ in 0..2 + m.d.below(4) {
        resources += &match m.d.below(10) {
            0..=1 => m.plain(),
            2 => m.clone(),
            3..=4 => m.remote(),
            5..=6 => m.guest(),
            _ => m.bundle(),
        };
    }
    if m.d.chance(70) {
        resources += &m.plain();
    }
    if fencing {
        resources += &m.primitive("fencer", "fence_dummy", &[]);
    }
    let constraints = m.constraints();
    let options: Vec<(String, String)> = vec![
        ("symmetric-cluster".into(), if m.d.chance(90) { "true" } else { "false" }.into()),
        ("no-quorum-policy".into(), m.d.one(&["stop", "freeze", "ignore", "demote"]).into()),
        ("stonith-enabled".into(), fencing.to_string()),
        ("concurrent-fencing".into(), m.d.chance(60).to_string()),
    ];
    let (mut node_xml, mut status) = (String::new(), String::new());
    for (k, n) in names.iter().enumerate() {
        let _ = writeln!(node_xml, "<node id=\"{}\" uname=\"{n}\"/>", k + 1);
        let _ = writeln!(
            status,
            "<node_state id=\"{}\" uname=\"{n}\" in_ccm=\"true\" crmd=\"online\" join=\"member\" expected=\"member\"/>",
            k + 1
        );
    }
    for n in m.nodes.clone().iter().skip(members) {
        if m.d.chance(30) {
            let standby = if m.d.chance(15) {
                "<instance_attributes id=\"x-NAME\"><nvpair id=\"y-NAME\" name=\"standby\" value=\"on\"/></instance_attributes>".replace("NAME", n)
            } else {
                String::new()
            };
            let _ = writeln!(node_xml, "<node id=\"{n}\" uname=\"{n}\" type=\"remote\">{standby}</node>");
        }
    }
    format!(
        "<cib crm_feature_set=\"3.16.1\" validate-with=\"pacemaker-3.9\" epoch=\"1\" num_updates=\"1\" admin_epoch=\"0\" have-quorum=\"1\" dc-uuid=\"1\">\n<configuration><crm_config>{}</crm_config>\n<nodes>\n{node_xml}</nodes>\n<resources>\n{resources}</resources>\n<constraints>\n{constraints}</constraints>\n</configuration>\n<status>\n{status}</status></cib>\n",
        pairs("cluster_property_set", "cib-bootstrap-options", &options),
    )
}

/// A tree as text.
pub(crate) fn text(e: &Element, out: &mut String) {
    let escape =
        |v: &str| v.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let _ = write!(out, "<{}", e.name);
    for (k, v) in &e.attributes {
        let _ = write!(out, " {k}=\"{}\"", escape(v));
    }
    out.push('>');
    e.children.iter().for_each(|c| text(c, out));
    let _ = writeln!(out, "</{}>", e.name);
}

fn child<'a>(e: &'a mut Element, name: &str) -> &'a mut Element {
    let at = e.children.iter().position(|c| c.name == name).unwrap_or_else(|| {
        e.children.push(Element::new(name, &[("id", &format!("new-{name}"))]));
        e.children.len() - 1
    });
    &mut e.children[at]
}

fn fail(d: &mut Dice, state: &mut Element) {
    let mut name = String::new();
    let id = state.id().to_owned();
    let Some(lrm) = state.children.iter_mut().find(|c| c.name == "lrm") else { return };
    let list = &mut child(lrm, "lrm_resources").children;
    if list.is_empty() {
        return;
    }
    let at = d.below(list.len());
    let rsc = &mut list[at];
    let active: Vec<usize> =
        (0..rsc.children.len()).filter(|k| rsc.children[*k].get("operation") != Some("stop")).collect();
    if active.is_empty() {
        return;
    }
    let mut op = rsc.children[active[d.below(active.len())]].clone();
    name.push_str(rsc.id());
    let task = d.one(&["monitor", "monitor", "start", "stop"]);
    let every = if task == "monitor" { "10000" } else { "0" };
    let (rc, want) = (d.one(&["1", "7", "1", "5", "189"]), "0");
    op.set("id", &format!("{name}_last_failure_0"));
    op.set("operation_key", &format!("{name}_{task}_{every}"));
    op.set("operation", task);
    op.set("interval", every);
    op.set("rc-code", rc);
    op.set("op-status", if rc == "189" { "8" } else { "0" });
    let key = format!("9:9:{want}:11111111-1111-1111-1111-111111111111");
    op.set("transition-key", &key);
    op.set(
        "transition-magic",
        &format!("{};{key}", if rc == "189" { "8:189".to_owned() } else { format!("0:{rc}") }),
    );
    let call = rsc
        .children
        .iter()
        .filter_map(|o| o.get("call-id").and_then(|c| c.parse::<i64>().ok()))
        .max()
        .unwrap_or(0);
    op.set("call-id", &(call + 1).to_string());
    op.set("last-rc-change", "1767268700");
    rsc.children.retain(|o| o.id() != op.id());
    rsc.children.push(op);
    if d.chance(70) {
        let count = d.one(&["1", "2", "INFINITY"]);
        let set = child(child(state, "transient_attributes"), "instance_attributes");
        let pair = |kind: &str, v: &str| {
            let id = format!("t-{id}-{kind}-{name}");
            Element::new(
                "nvpair",
                &[("id", &id), ("name", &format!("{kind}-{name}#{task}_{every}")), ("value", v)],
            )
        };
        set.children.push(pair("fail-count", count));
        set.children.push(pair("last-failure", "1767268700"));
    }
}

/// Something happens to a cluster.
pub(crate) fn disturb(d: &mut Dice, cib: &str) -> String {
    let mut root = parse(cib).unwrap();
    for _ in 0..1 + d.below(3) {
        let status = child(&mut root, "status");
        if status.children.is_empty() {
            break;
        }
        let at = d.below(status.children.len());
        let state = &mut status.children[at];
        let member = state.get("in_ccm").is_some();
        match d.below(12) {
            0..=2 if member => {
                let facts = d.one(&[
                    ["false", "offline", "down", "member"],
                    ["false", "offline", "down", "member"],
                    ["false", "offline", "down", "down"],
                    ["true", "offline", "member", "member"],
                    ["true", "online", "member", "member"],
                ]);
                for (k, v) in ["in_ccm", "crmd", "join", "expected"].iter().zip(facts) {
                    state.set(k, v);
                }
            }
            3 => {
                let (name, value) = d.one(&[
                    ("standby", "on"),
                    ("maintenance", "true"),
                    ("shutdown", "1767268000"),
                    ("terminate", "true"),
                    ("standby", "off"),
                ]);
                let id = format!("t-{}-{name}", state.id());
                let set = child(child(state, "transient_attributes"), "instance_attributes");
                set.children.retain(|c| c.id() != id);
                set.children.push(Element::new("nvpair", &[("id", &id), ("name", name), ("value", value)]));
            }
            4..=7 => fail(d, state),
            8 => {
                if let Some(lrm) = state.children.iter_mut().find(|c| c.name == "lrm") {
                    let list = &mut child(lrm, "lrm_resources").children;
                    if !list.is_empty() {
                        let at = d.below(list.len());
                        list.remove(at);
                    }
                }
            }
            9 => {
                let quorum = d.one(&["0", "1"]);
                root.set("have-quorum", quorum);
            }
            10 => {
                let list = &mut child(child(&mut root, "configuration"), "resources").children;
                if list.len() > 2 && d.chance(40) {
                    let at = d.below(list.len());
                    list.remove(at);
                }
            }
            _ => {
                if !member {
                    let fenced = d.one(&["0", "1767268600"]);
                    state.set("node_fenced", fenced);
                }
            }
        }
    }
    let mut out = String::new();
    text(&root, &mut out);
    out
}
