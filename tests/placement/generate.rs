//! Random clusters as CIBs, for comparing with the real scheduler.

use std::fmt::Write;

/// A small generator of numbers: the same seed gives the same clusters everywhere.
pub(crate) struct Dice(u64);
impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33
    }
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    /// True in `n` of 100 cases.
    pub(crate) fn chance(&mut self, n: usize) -> bool {
        self.below(100) < n
    }
    pub(crate) fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

const SCORES: &[&str] = &[
    "INFINITY",
    "-INFINITY",
    "1",
    "2",
    "5",
    "10",
    "50",
    "100",
    "200",
    "500",
    "1000",
    "-1",
    "-50",
    "-100",
    "-1000",
    "-2000",
];
const EMPTY: &str = "f2317cad3d54cec5d7d7aa7d0bf35cf8";
const RECURRING: &str = "4811cef7f7f94e3a35a70be7916cb2fd";

/// A primitive: its name, its agent, whether it has a monitor, whether and how it is cloned.
struct Prim {
    id: String,
    agent: [&'static str; 3],
    monitor: bool,
    promotable: bool,
    unique: usize,
    cloned: bool,
}
impl Prim {
    fn agent(&self) -> String {
        let [class, provider, kind] = self.agent;
        let provider = if provider.is_empty() { String::new() } else { format!(" provider=\"{provider}\"") };
        format!("class=\"{class}\"{provider} type=\"{kind}\"")
    }
}

struct Maker<'a> {
    d: &'a mut Dice,
    nodes: Vec<String>,
    prims: Vec<Prim>,
    names: Vec<String>,
    clones: Vec<String>,
    promotables: Vec<String>,
    resources: String,
    ids: usize,
    fancy: bool,
}

fn nvpairs(kind: &str, id: &str, pairs: &[(String, String)]) -> String {
    if pairs.is_empty() {
        return String::new();
    }
    let mut out = format!("<{kind} id=\"{id}\">");
    for (k, v) in pairs {
        let _ = write!(out, "<nvpair id=\"{id}-{k}\" name=\"{k}\" value=\"{v}\"/>");
    }
    out + &format!("</{kind}>\n")
}

impl Maker<'_> {
    fn meta(&mut self, clone: bool) -> Vec<(String, String)> {
        let mut m: Vec<(&str, &str)> = Vec::new();
        if self.d.chance(15) {
            m.push(("resource-stickiness", self.d.one(&["0", "1", "10", "100", "1000", "INFINITY", "-100"])));
        }
        if self.d.chance(12) {
            m.push(("priority", self.d.one(&["-1", "1", "5", "10", "100"])));
        }
        if self.d.chance(8) {
            m.push(("target-role", self.d.one(&["Stopped", "Started", "Stopped"])));
        }
        if self.d.chance(6) {
            m.push(("is-managed", "false"));
        }
        if self.d.chance(12) {
            m.push(("migration-threshold", self.d.one(&["1", "2", "3", "5"])));
        }
        if self.d.chance(15) && !clone {
            m.push(("allow-migrate", "true"));
        }
        if self.fancy {
            if self.d.chance(6) {
                m.push(("failure-timeout", self.d.one(&["1h", "10s", "PT24H", "1min"])));
            }
            if self.d.chance(6) {
                m.push((
                    "multiple-active",
                    self.d.one(&["block", "stop_only", "stop_unexpected", "stop_start"]),
                ));
            }
            if self.d.chance(6) {
                m.push(("critical", "false"));
            }
            if self.d.chance(5) {
                m.push(("requires", self.d.one(&["nothing", "quorum", "fencing"])));
            }
            if self.d.chance(4) {
                m.push(("maintenance", "true"));
            }
        }
        m.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    fn primitive(&mut self, unique: usize, promotable: bool, cloned: bool, indexed: bool) -> String {
        let n = self.prims.len();
        let id = char::from(b'A' + n as u8).to_string();
        let agent = match (promotable, self.d.below(4)) {
            (true, _) => ["ocf", "pacemaker", "Stateful"],
            (false, 0) if unique == 0 => ["systemd", "", "dummy"],
            _ => ["ocf", "heartbeat", "Dummy"],
        };
        let monitor = self.d.chance(60);
        let mut ops = String::new();
        let fail = if self.fancy && self.d.chance(12) {
            let what = self.d.one(&["ignore", "block", "stop", "restart", "standby", "fence", "migrate"]);
            format!(" on-fail=\"{what}\"")
        } else {
            String::new()
        };
        if monitor && promotable {
            ops = format!(
                "<op id=\"{id}-mon\" name=\"monitor\" interval=\"10s\" role=\"Unpromoted\"{fail}/><op id=\"{id}-monp\" name=\"monitor\" interval=\"11s\" role=\"Promoted\"/>"
            );
        } else if monitor {
            ops = format!("<op id=\"{id}-mon\" name=\"monitor\" interval=\"10s\"{fail}/>");
        }
        if self.fancy && self.d.chance(5) {
            let _ = write!(
                ops,
                "<op id=\"{id}-stop\" name=\"stop\" interval=\"0\" on-fail=\"{}\"/>",
                self.d.one(&["ignore", "block", "fence"])
            );
        }
        if !ops.is_empty() {
            ops = format!("<operations>{ops}</operations>\n");
        }
        let meta = self.meta(cloned);
        let mut needs: Vec<(String, String)> = Vec::new();
        for k in ["cpu", "memory"] {
            if self.d.chance(20) {
                needs.push((k.into(), self.d.one(&["1", "2", "4", "8", "500", "1000"]).into()));
            }
        }
        let p = Prim { id: id.clone(), agent, monitor, promotable, unique, cloned };
        let head = format!("<primitive id=\"{id}\" {}>\n", p.agent());
        self.prims.push(p);
        if indexed {
            self.names.push(id.clone());
        }
        head + &nvpairs("meta_attributes", &format!("{id}-meta"), &meta)
            + &ops
            + &nvpairs("utilization", &format!("{id}-u"), &needs)
            + "</primitive>\n"
    }

    fn group(&mut self, unique: usize, promotable: bool, cloned: bool, indexed: bool) -> String {
        let id = format!("grp-{}", char::from(b'A' + self.prims.len() as u8));
        let meta = self.meta(cloned);
        let mut out =
            format!("<group id=\"{id}\">\n") + &nvpairs("meta_attributes", &format!("{id}-meta"), &meta);
        for _ in 0..2 + self.d.below(3) {
            let member = self.d.chance(30) && indexed;
            out += &self.primitive(unique, promotable, cloned, member);
        }
        if indexed {
            self.names.push(id);
        }
        out + "</group>\n"
    }

    fn clone(&mut self) -> String {
        let id = format!("cl-{}", char::from(b'A' + self.prims.len() as u8));
        let promotable = self.d.chance(40);
        let mut meta = self.meta(true);
        let mut unique = 0;
        let mut put = |k: &str, v: &str| meta.push((k.to_owned(), v.to_owned()));
        let max = 1 + self.d.below(self.nodes.len() + 1);
        let told_apart = self.d.chance(20) && !promotable;
        if told_apart {
            unique = max;
            put("globally-unique", "true");
            put("clone-max", &max.to_string());
            if self.d.chance(50) {
                put("clone-node-max", "2");
            }
        } else if self.d.chance(40) {
            put("clone-max", &max.to_string());
        }
        if promotable {
            put("promotable", "true");
            if self.d.chance(20) {
                put("promoted-max", "2");
            }
        }
        if self.d.chance(40) {
            put("interleave", self.d.one(&["true", "true", "false"]));
        }
        if self.d.chance(15) {
            put("ordered", "true");
        }
        if self.fancy && self.d.chance(15) {
            put("notify", "true");
        }
        if self.fancy && self.d.chance(5) {
            put("clone-min", "2");
        }
        if promotable && self.d.chance(8) {
            meta.retain(|(k, _)| k != "target-role");
            meta.push(("target-role".into(), "Unpromoted".into()));
        }
        let grouped = self.d.chance(25) && !told_apart;
        let child = if grouped {
            self.group(unique, promotable, true, false)
        } else {
            self.primitive(unique, promotable, true, false)
        };
        self.names.push(id.clone());
        self.clones.push(id.clone());
        if promotable {
            self.promotables.push(id.clone());
        }
        format!("<clone id=\"{id}\">\n")
            + &nvpairs("meta_attributes", &format!("{id}-meta"), &meta)
            + &child
            + "</clone>\n"
    }

    fn id(&mut self, kind: &str) -> String {
        self.ids += 1;
        format!("{kind}{}", self.ids)
    }

    fn rsc(&mut self) -> String {
        let n = self.d.below(self.names.len());
        self.names[n].clone()
    }

    fn constraints(&mut self) -> String {
        let mut out = String::new();
        for _ in 0..self.d.below(self.names.len() * 2 + 1) {
            let (id, rsc, score) = (self.id("loc"), self.rsc(), self.d.one(SCORES));
            let n = self.d.below(self.nodes.len());
            let node = self.nodes[n].clone();
            if self.fancy && self.d.chance(10) {
                let op = self.d.one(&["eq", "ne", "defined", "lt", "gte"]);
                let _ = writeln!(
                    out,
                    "<rsc_location id=\"{id}\" rsc=\"{rsc}\"><rule id=\"{id}-r\" score=\"{score}\" boolean-op=\"{}\"><expression id=\"{id}-e\" attribute=\"rack\" operation=\"{op}\" value=\"2\"/><expression id=\"{id}-f\" attribute=\"#uname\" operation=\"ne\" value=\"{node}\"/></rule></rsc_location>",
                    self.d.one(&["and", "or"])
                );
                continue;
            }
            let role =
                if self.promotables.contains(&rsc) && self.d.chance(40) { " role=\"Promoted\"" } else { "" };
            let discovery = if self.fancy && self.d.chance(4) { " resource-discovery=\"never\"" } else { "" };
            let _ = writeln!(
                out,
                "<rsc_location id=\"{id}\" rsc=\"{rsc}\" node=\"{node}\" score=\"{score}\"{role}{discovery}/>"
            );
        }
        let pairs = self.names.len();
        for _ in 0..self.d.below(pairs + 1) {
            let (id, a, b, score) = (self.id("col"), self.rsc(), self.rsc(), self.d.one(SCORES));
            if a == b {
                continue;
            }
            if self.fancy && self.d.chance(8) {
                let c = self.rsc();
                let seq = self.d.one(&["true", "false"]);
                let _ = writeln!(
                    out,
                    "<rsc_colocation id=\"{id}\" score=\"{score}\"><resource_set id=\"{id}-s\" sequential=\"{seq}\"><resource_ref id=\"{a}\"/><resource_ref id=\"{b}\"/></resource_set>{}</rsc_colocation>",
                    if c != a && c != b {
                        format!("<resource_set id=\"{id}-t\"><resource_ref id=\"{c}\"/></resource_set>")
                    } else {
                        String::new()
                    }
                );
                continue;
            }
            let mut more = String::new();
            if self.promotables.contains(&b) && self.d.chance(60) {
                more += " with-rsc-role=\"Promoted\"";
            }
            if self.promotables.contains(&a) && self.d.chance(30) {
                more += " rsc-role=\"Promoted\"";
            }
            if self.fancy && self.d.chance(8) {
                more += " node-attribute=\"rack\"";
            }
            if self.fancy && self.d.chance(8) {
                more += " influence=\"false\"";
            }
            let _ = writeln!(
                out,
                "<rsc_colocation id=\"{id}\" rsc=\"{a}\" with-rsc=\"{b}\" score=\"{score}\"{more}/>"
            );
        }
        for _ in 0..self.d.below(pairs + 1) {
            let (id, a, b) = (self.id("ord"), self.rsc(), self.rsc());
            if a == b {
                continue;
            }
            let kind = self.d.one(&["Mandatory", "Mandatory", "Optional", "Serialize"]);
            if self.fancy && self.d.chance(8) {
                let all = self.d.one(&["true", "false"]);
                let seq = self.d.one(&["true", "false"]);
                let _ = writeln!(
                    out,
                    "<rsc_order id=\"{id}\" kind=\"{kind}\"><resource_set id=\"{id}-s\" sequential=\"{seq}\" require-all=\"{all}\"><resource_ref id=\"{a}\"/></resource_set><resource_set id=\"{id}-t\"><resource_ref id=\"{b}\"/></resource_set></rsc_order>"
                );
                continue;
            }
            let mut more = String::new();
            if self.d.chance(20) && kind != "Serialize" {
                more += self.d.one(&[" symmetrical=\"false\"", " symmetrical=\"true\""]);
            }
            if self.promotables.contains(&a) && self.d.chance(50) {
                more += " first-action=\"promote\" then-action=\"start\"";
            }
            if self.fancy && self.clones.contains(&a) && self.d.chance(10) {
                more += " require-all=\"false\"";
            }
            let _ =
                writeln!(out, "<rsc_order id=\"{id}\" first=\"{a}\" then=\"{b}\" kind=\"{kind}\"{more}/>");
        }
        if self.fancy && self.d.chance(12) {
            let (id, a) = (self.id("tic"), self.rsc());
            let loss = self.d.one(&["stop", "freeze", "fence", "demote"]);
            let _ =
                writeln!(out, "<rsc_ticket id=\"{id}\" rsc=\"{a}\" ticket=\"T\" loss-policy=\"{loss}\"/>");
        }
        out
    }
}

struct Log<'a> {
    out: &'a mut String,
    call: i64,
}
impl Log<'_> {
    #[allow(clippy::too_many_arguments)] // An operation has so many facts.
    fn op(
        &mut self,
        id: &str,
        rsc: &str,
        task: &str,
        interval: u64,
        rc: i32,
        want: i32,
        status: i32,
        at: i64,
        more: &str,
    ) {
        self.call += 1;
        let key = format!("{}:1:{want}:00000000-0000-0000-0000-000000000000", self.call);
        let digest = if interval > 0 { RECURRING } else { EMPTY };
        let call = if status == -1 { -1 } else { self.call };
        let _ = writeln!(
            self.out,
            "<lrm_rsc_op id=\"{id}\" operation_key=\"{rsc}_{task}_{interval}\" operation=\"{task}\" crm_feature_set=\"3.16.1\" transition-key=\"{key}\" transition-magic=\"{status}:{rc};{key}\" call-id=\"{call}\" rc-code=\"{rc}\" op-status=\"{status}\" interval=\"{interval}\" last-rc-change=\"{at}\" op-digest=\"{digest}\"{more}/>"
        );
    }
}

/// A random cluster. `fancy`: also with what is rare.
pub(crate) fn cluster(d: &mut Dice, fancy: bool) -> String {
    let words = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "n10", "n9", "N2"];
    let count = 2 + d.below(5);
    let numbered = d.chance(60);
    let nodes: Vec<String> =
        (0..count).map(|n| if numbered { format!("n{}", n + 8) } else { words[n].to_owned() }).collect();
    let mut m = Maker {
        d,
        nodes,
        prims: vec![],
        names: vec![],
        clones: vec![],
        promotables: vec![],
        resources: String::new(),
        ids: 0,
        fancy,
    };
    let fencing = m.d.chance(50);
    for _ in 0..1 + m.d.below(4) {
        if m.prims.len() > 12 {
            break;
        }
        let text = match m.d.below(10) {
            0..=4 => m.primitive(0, false, false, true),
            5 | 6 => m.group(0, false, false, true),
            _ => m.clone(),
        };
        m.resources += &text;
    }
    if fencing && m.d.chance(90) {
        let op = if m.d.chance(30) {
            "<operations><op id=\"F-m\" name=\"monitor\" interval=\"60s\"/></operations>"
        } else {
            ""
        };
        m.resources +=
            &format!("<primitive id=\"Fencing\" class=\"stonith\" type=\"fence_dummy\">{op}</primitive>\n");
        m.prims.push(Prim {
            id: "Fencing".into(),
            agent: ["stonith", "", "fence_dummy"],
            monitor: false,
            promotable: false,
            unique: 0,
            cloned: false,
        });
    }
    let constraints = m.constraints();
    let quorum = m.d.chance(75);
    let mut options: Vec<(String, String)> = vec![
        ("symmetric-cluster".into(), if m.d.chance(88) { "true" } else { "false" }.into()),
        ("no-quorum-policy".into(), m.d.one(&["stop", "freeze", "ignore", "demote", "suicide"]).into()),
        ("stonith-enabled".into(), fencing.to_string()),
        (
            "placement-strategy".into(),
            m.d.one(&["default", "default", "utilization", "balanced", "minimal"]).into(),
        ),
        ("maintenance-mode".into(), m.d.chance(4).to_string()),
        ("stop-all-resources".into(), m.d.chance(3).to_string()),
        ("concurrent-fencing".into(), m.d.chance(60).to_string()),
        ("stonith-action".into(), m.d.one(&["reboot", "reboot", "off"]).into()),
    ];
    if fancy {
        let mut put = |k: &str, v: &str| options.push((k.into(), v.into()));
        if m.d.chance(5) {
            put("node-health-strategy", m.d.one(&["migrate-on-red", "only-green", "progressive"]));
        }
        if m.d.chance(5) {
            put("enable-startup-probes", "false");
        }
        if m.d.chance(4) {
            put("stop-orphan-resources", "false");
        }
        if m.d.chance(4) {
            put("startup-fencing", "false");
        }
    }
    let (mut node_xml, mut status) = (String::new(), String::new());
    let probed = m.d.chance(80);
    let prims = std::mem::take(&mut m.prims);
    let mut placed: Vec<usize> = vec![0; prims.len()];
    let mut homes: Vec<Vec<usize>> = prims.iter().map(|_| Vec::new()).collect();
    for (p, prim) in prims.iter().enumerate() {
        let copies = if prim.unique > 0 {
            prim.unique
        } else if prim.cloned {
            count
        } else {
            1
        };
        for _ in 0..copies {
            if m.d.chance(55) {
                let n = m.d.below(count);
                if prim.unique > 0 || !homes[p].contains(&n) {
                    homes[p].push(n);
                }
            }
        }
        if fancy && !prim.cloned && m.d.chance(4) {
            let n = m.d.below(count);
            if !homes[p].contains(&n) {
                homes[p].push(n);
            }
        }
    }
    for n in 0..count {
        let (id, name) = (n + 1, m.nodes[n].clone());
        let mut attributes: Vec<(String, String)> = Vec::new();
        if m.d.chance(7) {
            attributes.push(("standby".into(), "on".into()));
        }
        if m.d.chance(6) {
            attributes.push(("maintenance".into(), "on".into()));
        }
        if fancy && m.d.chance(60) {
            attributes.push(("rack".into(), m.d.one(&["1", "2", "3"]).into()));
        }
        let mut room: Vec<(String, String)> = Vec::new();
        for k in ["cpu", "memory"] {
            if m.d.chance(70) {
                room.push((k.into(), m.d.one(&["2", "4", "8", "1000", "2000"]).into()));
            }
        }
        let _ = writeln!(
            node_xml,
            "<node id=\"{id}\" uname=\"{name}\">{}{}</node>",
            nvpairs("instance_attributes", &format!("na-{id}"), &attributes),
            nvpairs("utilization", &format!("nu-{id}"), &room)
        );
        let state = m.d.below(100);
        let facts = match state {
            0..=79 => "in_ccm=\"true\" crmd=\"online\" join=\"member\" expected=\"member\"",
            80..=86 => "in_ccm=\"false\" crmd=\"offline\" join=\"down\" expected=\"down\"",
            87..=94 => "in_ccm=\"false\" crmd=\"offline\" join=\"down\" expected=\"member\"",
            95..=96 => "in_ccm=\"true\" crmd=\"online\" join=\"pending\" expected=\"member\"",
            _ => "in_ccm=\"true\" crmd=\"offline\" join=\"member\" expected=\"member\"",
        };
        if fancy && m.d.chance(2) {
            continue;
        }
        let mut transient: Vec<(String, String)> = Vec::new();
        let mut log_text = String::new();
        let mut log = Log { out: &mut log_text, call: 1 };
        for (p, prim) in prims.iter().enumerate() {
            let _ = &mut placed[p];
            let here: Vec<usize> =
                homes[p].iter().enumerate().filter(|(_, h)| **h == n).map(|(k, _)| k).collect();
            let instances: Vec<(String, bool)> = if prim.unique > 0 {
                (0..prim.unique).map(|k| (format!("{}:{k}", prim.id), here.contains(&k))).collect()
            } else {
                vec![(prim.id.clone(), !here.is_empty())]
            };
            for (name, active) in instances {
                if !active && !probed {
                    continue;
                }
                let _ = writeln!(log.out, "<lrm_resource id=\"{name}\" {}>", prim.agent());
                let last = format!("{name}_last_0");
                let failure = format!("{name}_last_failure_0");
                if !active {
                    log.op(&last, &name, "monitor", 0, 7, 7, 0, 1_767_200_000, "");
                } else {
                    let promoted = prim.promotable && m.d.chance(35);
                    let task = if promoted { "promote" } else { "start" };
                    let what = m.d.below(100);
                    if what < 88 || prim.id == "Fencing" {
                        log.op(&last, &name, task, 0, 0, 0, 0, 1_767_200_010, "");
                        if prim.monitor {
                            let (every, rc) = if promoted { (11_000, 8) } else { (10_000, 0) };
                            if m.d.chance(90) {
                                log.op(
                                    &format!("{name}_monitor_{every}"),
                                    &name,
                                    "monitor",
                                    every,
                                    rc,
                                    rc,
                                    0,
                                    1_767_200_020,
                                    "",
                                );
                            }
                        }
                    } else if what < 93 {
                        log.op(&last, &name, task, 0, 0, 0, 0, 1_767_200_010, "");
                        let rc = m.d.one(&[1, 7, 7, 1]);
                        log.op(&failure, &name, "monitor", 10_000, rc, 0, 0, 1_767_200_100, "");
                    } else if what < 96 {
                        let rc = m.d.one(&[1, 1, 5, 2]);
                        log.op(&last, &name, "start", 0, rc, 0, 0, 1_767_200_100, "");
                        log.call -= 1;
                        log.op(&failure, &name, "start", 0, rc, 0, 0, 1_767_200_100, "");
                    } else if what < 98 {
                        log.op(&last, &name, "stop", 0, 1, 0, 0, 1_767_200_100, "");
                        log.call -= 1;
                        log.op(&failure, &name, "stop", 0, 1, 0, 0, 1_767_200_100, "");
                    } else if fancy {
                        log.op(&last, &name, "start", 0, 193, 0, -1, 1_767_200_100, "");
                    } else {
                        log.op(&last, &name, "monitor", 0, 0, 7, 0, 1_767_200_100, "");
                    }
                    if m.d.chance(10) || what >= 88 {
                        let count = m.d.one(&["1", "2", "3", "INFINITY"]);
                        transient.push((format!("fail-count-{name}#monitor_10000"), count.into()));
                        transient.push((
                            format!("last-failure-{name}#monitor_10000"),
                            m.d.one(&["1767200100", "1767268000"]).into(),
                        ));
                    }
                }
                let _ = writeln!(log.out, "</lrm_resource>");
            }
            if prim.promotable && m.d.chance(50) {
                transient.push((
                    format!("master-{}", prim.id),
                    m.d.one(&["1", "5", "10", "100", "-INFINITY", "1000"]).into(),
                ));
            }
        }
        if fancy && m.d.chance(6) {
            transient.push(("#health-x".into(), m.d.one(&["red", "yellow", "green"]).into()));
        }
        if fancy && m.d.chance(3) {
            transient.push(("shutdown".into(), "1767200500".into()));
        }
        let _ = writeln!(
            status,
            "<node_state id=\"{id}\" uname=\"{name}\" {facts}>\n<transient_attributes id=\"{id}\"><instance_attributes id=\"ta-{id}\">{}</instance_attributes></transient_attributes>\n<lrm id=\"{id}\"><lrm_resources>\n{log_text}</lrm_resources></lrm></node_state>",
            transient.iter().enumerate().fold(String::new(), |s, (k, (n, v))| s + &format!(
                "<nvpair id=\"ta-{id}-{k}\" name=\"{n}\" value=\"{v}\"/>"
            ))
        );
    }
    if fancy && m.d.chance(50) {
        status += "<tickets><ticket_state id=\"T\" granted=\"true\"/></tickets>";
    }
    let defaults = if m.d.chance(60) {
        let v = m.d.one(&["0", "1", "10", "100", "1000"]);
        format!(
            "<rsc_defaults>{}</rsc_defaults>",
            nvpairs("meta_attributes", "rd", &[("resource-stickiness".into(), v.into())])
        )
    } else {
        String::new()
    };
    let dc = 1 + m.d.below(count);
    format!(
        "<cib crm_feature_set=\"3.16.1\" validate-with=\"pacemaker-3.9\" epoch=\"1\" num_updates=\"1\" admin_epoch=\"0\" have-quorum=\"{}\" dc-uuid=\"{dc}\">\n<configuration><crm_config>{}</crm_config>\n<nodes>\n{node_xml}</nodes>\n<resources>\n{}</resources>\n<constraints>\n{constraints}</constraints>\n{defaults}</configuration>\n<status>\n{status}</status></cib>\n",
        u8::from(quorum),
        nvpairs("cluster_property_set", "cib-bootstrap-options", &options),
        m.resources,
    )
}
