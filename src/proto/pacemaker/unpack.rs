//! Reads the configuration: options, nodes, resources, tags.

use super::cib::Cib;
use super::model::{
    CloneData, Kind, MultipleActive, Node, OpConfig, Options, QuorumPolicy, Role, Rsc, RscIx, Sched,
    Strategy, Table,
};
use super::score::{self, INF, number};
use super::sets::{About, boolean, is_true, resolved};
use super::story::Cause;
use super::time::interval;
use super::xml::{Element, XmlError};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Nodes that a cluster may have.
pub const NODES_MAX: usize = 1_000;
/// Resources, instances counted one by one, that a cluster may have.
pub const RESOURCES_MAX: usize = 5_000;

/// Compares names as people do: numbers by value, letters without case.
pub fn natural(a: &str, b: &str) -> std::cmp::Ordering {
    let (mut x, mut y) = (a.as_bytes(), b.as_bytes());
    loop {
        let (Some(&p), Some(&q)) = (x.first(), y.first()) else { return x.len().cmp(&y.len()) };
        if p.is_ascii_digit() && q.is_ascii_digit() {
            let run = |t: &[u8]| t.iter().position(|c| !c.is_ascii_digit()).unwrap_or(t.len());
            let (m, n) = (run(x), run(y));
            let value = |t: &[u8]| {
                t.iter().fold(0_u64, |v, c| v.saturating_mul(10).saturating_add(u64::from(c - b'0')))
            };
            let order = value(&x[..m]).cmp(&value(&y[..n])).then(m.cmp(&n));
            if order.is_ne() {
                return order;
            }
            (x, y) = (&x[m..], &y[n..]);
        } else {
            let order = p.to_ascii_lowercase().cmp(&q.to_ascii_lowercase());
            if order.is_ne() {
                return order;
            }
            (x, y) = (&x[1..], &y[1..]);
        }
    }
}

/// A whole number that is not below `least`.
pub(super) fn at_least(text: &str, least: i32) -> i32 {
    let n = number(text).unwrap_or(i64::from(least)).clamp(i64::from(least), i64::from(i32::MAX));
    i32::try_from(n).unwrap_or(least)
}

fn quantities(text: BTreeMap<String, String>) -> BTreeMap<String, i32> {
    text.into_iter().map(|(k, v)| (k, number(&v).map_or(0, |_| at_least(&v, i32::MIN)))).collect()
}

impl Sched {
    /// Starts a run: reads the configuration and the status.
    pub fn new(cib: Arc<Cib>, now: i64) -> Result<Sched, XmlError> {
        let mut s = Sched {
            cib: cib.clone(),
            now,
            options: Options::default(),
            rsc_defaults: cib.root.find("rsc_defaults").map(|e| Arc::new(e.clone())),
            op_defaults: cib.root.find("op_defaults").map(|e| Arc::new(e.clone())),
            nodes: Vec::new(),
            rscs: Vec::new(),
            top: Vec::new(),
            tags: BTreeMap::new(),
            tickets: BTreeMap::new(),
            locations: Vec::new(),
            colocations: Vec::new(),
            orders: Vec::new(),
            acts: Vec::new(),
            singles: BTreeMap::new(),
            printed: Vec::new(),
            tales: Vec::new(),
            warnings: Vec::new(),
            recheck: None,
            expired: Vec::new(),
            to_stop: Vec::new(),
            deferred: Vec::new(),
        };
        s.read_options();
        s.read_nodes()?;
        s.read_resources()?;
        s.read_tags();
        s.read_status();
        s.note_dates(&cib.root);
        Ok(s)
    }

    fn read_options(&mut self) {
        let cib = self.cib.clone();
        let mut set = BTreeMap::new();
        if let Some(config) = cib.root.find("crm_config") {
            self.pairs(
                config,
                "cluster_property_set",
                About::default(),
                Some("cib-bootstrap-options"),
                false,
                &mut set,
            );
        }
        let on = |name: &str, default: bool| set.get(name).and_then(|v| boolean(v)).unwrap_or(default);
        let word = |name: &str| set.get(name).map(|v| v.to_ascii_lowercase()).unwrap_or_default();
        let fencing = on("stonith-enabled", true);
        let quorum = is_true(cib.root.get("have-quorum"));
        let panicking = cib.root.get("no-quorum-panic").and_then(number).is_some_and(|n| n != 0);
        let no_quorum = match word("no-quorum-policy").as_str() {
            "ignore" => QuorumPolicy::Ignore,
            "freeze" => QuorumPolicy::Freeze,
            "demote" => QuorumPolicy::Demote,
            "suicide" | "fence" if fencing && (panicking || quorum) => QuorumPolicy::Suicide,
            _ => QuorumPolicy::Stop,
        };
        let number_or = |name: &str, default: i32| set.get(name).map_or(default, |v| score::parse(v));
        let health = match word("node-health-strategy").as_str() {
            "migrate-on-red" => [-INF, 0, 0],
            "only-green" => [-INF, -INF, 0],
            "progressive" | "custom" => [
                number_or("node-health-red", -INF),
                number_or("node-health-yellow", 0),
                number_or("node-health-green", 0),
            ],
            _ => [0, 0, 0],
        };
        self.options = Options {
            quorum,
            no_quorum,
            symmetric: on("symmetric-cluster", true),
            fencing,
            fence_device: on("have-watchdog", false),
            fence_action: match word("stonith-action").as_str() {
                "off" | "poweroff" => "off".into(),
                _ => "reboot".into(),
            },
            concurrent_fencing: on("concurrent-fencing", true),
            fencing_delay: set
                .get("priority-fencing-delay")
                .map_or(0, |v| i64::try_from(interval(v) / 1_000).unwrap_or(i64::MAX)),
            startup_fencing: fencing && on("startup-fencing", true),
            probes: on("enable-startup-probes", true),
            stop_all: on("stop-all-resources", false),
            maintenance: on("maintenance-mode", false),
            stop_orphans: on("stop-orphan-resources", true),
            stop_orphan_actions: on("stop-orphan-actions", true),
            remove_after_stop: on("remove-after-stop", false),
            shutdown_lock: on("shutdown-lock", false),
            shutdown_lock_limit: set
                .get("shutdown-lock-limit")
                .map_or(0, |v| i64::try_from(interval(v) / 1_000).unwrap_or(i64::MAX)),
            strategy: match word("placement-strategy").as_str() {
                "utilization" => Strategy::Utilization,
                "minimal" => Strategy::Minimal,
                "balanced" => Strategy::Balanced,
                _ => Strategy::Default,
            },
            health,
            batch_limit: set.get("batch-limit").map_or(0, |v| at_least(v, 0)),
            set,
        };
    }

    fn read_nodes(&mut self) -> Result<(), XmlError> {
        let cib = self.cib.clone();
        let Some(list) = cib.root.find("nodes") else { return Ok(()) };
        for e in list.all("node") {
            let (Some(id), Some(name)) = (e.get("id"), e.get("uname")) else {
                self.warn(e, "a node without `id` or `uname` is ignored");
                continue;
            };
            let kind = e.get("type").unwrap_or("member").to_ascii_lowercase();
            let remote = kind == "remote";
            let mut node = Node {
                id: id.to_owned(),
                name: name.to_owned(),
                base: e.get("score").map_or(0, score::parse),
                unclean: self.options.startup_fencing && !remote,
                is_dc: cib.root.get("dc-uuid") == Some(id),
                unseen: !remote,
                ping: !remote && kind != "member",
                remote,
                ..Node::default()
            };
            self.read_node_attributes(&mut node, e, false);
            let mut capacity = BTreeMap::new();
            self.pairs(e, "utilization", About::default(), None, false, &mut capacity);
            node.utilization = quantities(capacity);
            self.add_node(node, e.line)?;
        }
        Ok(())
    }

    /// Adds a node where its name belongs. Only before resources are read: tables hold nodes by their places.
    pub(super) fn add_node(&mut self, node: Node, line: u32) -> Result<(), XmlError> {
        let at = self.nodes.partition_point(|n| natural(&n.name, &node.name).is_le());
        self.nodes.insert(at, node);
        if self.nodes.len() > NODES_MAX {
            return Err(XmlError { line, text: format!("more than {NODES_MAX} nodes") });
        }
        Ok(())
    }

    /// Reads the attributes of a node from `holder`.
    pub(super) fn read_node_attributes(&self, node: &mut Node, holder: &Element, overwrite: bool) {
        node.named = true;
        let mut put = |k: &str, v: &str| drop(node.attributes.insert(k.to_owned(), v.to_owned()));
        put("#uname", &node.name);
        put("#id", &node.id);
        put("#kind", if node.remote { "remote" } else { "cluster" });
        put("#is_dc", if node.is_dc { "true" } else { "false" });
        let cluster = self.options.set.get("cluster-name");
        if let Some(c) = cluster {
            put("#cluster-name", c);
        }
        self.pairs(holder, "instance_attributes", About::default(), None, overwrite, &mut node.attributes);
        if !node.attributes.contains_key("#site-name")
            && let Some(site) = node.attributes.get("site-name").or(cluster).cloned()
        {
            node.attributes.insert("#site-name".into(), site);
        }
    }

    fn read_resources(&mut self) -> Result<(), XmlError> {
        let cib = self.cib.clone();
        let Some(list) = cib.root.find("resources") else { return Ok(()) };
        let connections = self.read_remote_nodes(list)?;
        for e in list.children.iter().chain(&connections) {
            if e.id().is_empty() {
                self.warn(e, "a resource without `id` is ignored");
                continue;
            }
            if !matches!(e.name.as_str(), "primitive" | "group" | "clone" | "master" | "bundle") {
                continue;
            }
            match self.unpack(Arc::new(e.clone()), None, None)? {
                Some(r) => self.top.push(r),
                None => self.warn(e, format!("`{}` is not valid, so it is ignored", e.id())),
            }
        }
        for r in self.top.clone() {
            self.find_container(r);
            self.link_connection(r);
        }
        let rscs = &self.rscs;
        self.top.sort_by_key(|r| -rscs[*r].priority);
        if self.options.fencing && !self.options.fence_device {
            self.warn(
                list,
                "fencing is enabled and there is no fence device: nothing will be started or moved (configure one, or set `stonith-enabled=false`)",
            );
        }
        Ok(())
    }

    fn read_tags(&mut self) {
        let cib = self.cib.clone();
        let Some(list) = cib.root.find("tags") else { return };
        for tag in list.all("tag") {
            let names = tag.all("obj_ref").filter_map(|o| o.get("id")).map(str::to_owned);
            let known = self.tags.entry(tag.id().to_owned()).or_default();
            for n in names {
                if !known.contains(&n) {
                    known.push(n);
                }
            }
        }
    }

    /// The configuration of a resource together with its template's.
    fn with_template(&mut self, e: &Arc<Element>) -> Option<Arc<Element>> {
        let Some(name) = e.get("template") else { return Some(e.clone()) };
        let cib = self.cib.clone();
        let template = cib.root.find("resources")?.all("template").find(|t| t.id() == name);
        let Some(template) = template else {
            self.warn(e, format!("there is no template `{name}`"));
            return None;
        };
        let mut merged = template.clone();
        merged.name.clone_from(&e.name);
        merged.line = e.line;
        merged.set("id", e.id());
        let base = merged.children.iter().position(|c| c.name == "operations");
        merged.children.extend(e.children.iter().cloned());
        let own = merged.children.iter().rposition(|c| c.name == "operations");
        if let (Some(base), Some(own)) = (base, own)
            && base != own
        {
            let role = |o: &Element| match o.get("role").and_then(Role::of) {
                Some(Role::Promoted) => "Promoted",
                Some(Role::Stopped) => "Stopped",
                _ => "Unknown",
            };
            let key = |o: &Element| (o.get("name").map(str::to_owned), role(o));
            let mine: Vec<_> = merged.children[own].children.iter().map(key).collect();
            let more: Vec<Element> =
                merged.children[base].children.iter().filter(|o| !mine.contains(&key(o))).cloned().collect();
            merged.children[own].children.extend(more);
            merged.children.remove(base);
        }
        let known = self.tags.entry(name.to_owned()).or_default();
        if !known.contains(&e.id().to_owned()) {
            known.push(e.id().to_owned());
        }
        Some(Arc::new(merged))
    }

    fn meta_of(&self, xml: &Element, parent: Option<RscIx>) -> BTreeMap<String, String> {
        let agent = [xml.get("class"), xml.get("provider"), xml.get("type")];
        let about = About { agent: Some(agent), ..About::default() };
        let mut meta: BTreeMap<String, String> = BTreeMap::new();
        for (k, v) in &xml.attributes {
            meta.entry(k.clone()).or_insert_with(|| v.clone());
        }
        self.pairs(xml, "meta_attributes", about, None, false, &mut meta);
        let mut inherited = BTreeMap::new();
        let mut at = parent;
        while let Some(p) = at {
            self.pairs(&self.rscs[p].xml, "meta_attributes", about, None, false, &mut inherited);
            at = self.rscs[p].parent;
        }
        let add = |from: &BTreeMap<String, String>, meta: &mut BTreeMap<String, String>| {
            for (k, v) in from {
                meta.entry(k.clone()).or_insert_with(|| v.clone());
            }
        };
        add(&inherited, &mut meta);
        if let Some(d) = &self.rsc_defaults {
            self.pairs(d, "meta_attributes", about, None, false, &mut meta);
        }
        if let Some(p) = parent {
            add(&self.rscs[p].meta, &mut meta);
        }
        meta
    }

    fn ops_of(&self, xml: &Element) -> Vec<OpConfig> {
        let root = self.cib.root.clone();
        let Some(list) = xml.child("operations").and_then(|o| resolved(&root, o)) else { return Vec::new() };
        list.all("op")
            .map(|o| {
                let name = o.get("name").unwrap_or_default().to_owned();
                let every = o.get("interval").map_or(0, interval);
                let agent = [xml.get("class"), xml.get("provider"), xml.get("type")];
                let about = About { agent: Some(agent), operation: Some((&name, every)), ..About::default() };
                let mut meta = BTreeMap::new();
                self.pairs(o, "meta_attributes", about, None, true, &mut meta);
                for (k, v) in &o.attributes {
                    meta.insert(k.clone(), v.clone());
                }
                let mut parameters = BTreeMap::new();
                self.pairs(o, "instance_attributes", About::default(), None, false, &mut parameters);
                OpConfig {
                    id: o.id().to_owned(),
                    interval: every,
                    role: o.get("role").map(str::to_owned),
                    enabled: o.get("enabled").and_then(boolean) != Some(false),
                    meta,
                    parameters,
                    name,
                }
            })
            .collect()
    }

    /// Makes a resource from its configuration.
    pub(super) fn unpack(
        &mut self,
        xml: Arc<Element>,
        parent: Option<RscIx>,
        instance: Option<i32>,
    ) -> Result<Option<RscIx>, XmlError> {
        if self.rscs.len() >= RESOURCES_MAX {
            return Err(XmlError {
                line: xml.line,
                text: format!("more than {RESOURCES_MAX} resources and instances"),
            });
        }
        let kind = match xml.name.as_str() {
            "primitive" => Kind::Primitive,
            "group" => Kind::Group,
            "clone" | "master" => Kind::Clone,
            "bundle" => Kind::Bundle,
            _ => return Ok(None),
        };
        let Some(xml) = self.with_template(&xml) else { return Ok(None) };
        let r = self.rscs.len();
        let meta = self.meta_of(&xml, parent);
        let nodes = self.nodes.len();
        let id = instance.map_or_else(|| xml.id().to_owned(), |n| format!("{}:{n}", xml.id()));
        let get = |k: &str| meta.get(k).map(String::as_str);
        let set = |k: &str| get(k).filter(|v| !v.eq_ignore_ascii_case("default"));
        let mut managed = !self.options.maintenance;
        if let Some(v) = set("is-managed") {
            managed = is_true(Some(v));
        }
        let maintenance = is_true(get("maintenance")) || self.options.maintenance;
        let fence_device = xml.get("class").is_some_and(|c| c.eq_ignore_ascii_case("stonith"));
        self.options.fence_device |= fence_device;
        let mut rsc = Rsc {
            xml_id: xml.id().to_owned(),
            id,
            history_name: None,
            kind,
            parent,
            children: Vec::new(),
            ops: if kind == Kind::Primitive { self.ops_of(&xml) } else { Vec::new() },
            role: Role::Stopped,
            next_role: Role::Unknown,
            priority: get("priority").map_or(0, score::parse),
            stickiness: set("resource-stickiness").map_or(0, score::parse),
            migration_threshold: match set("migration-threshold").map_or(INF, score::parse) {
                n if n < 0 => 1,
                n => n,
            },
            failure_timeout: get("failure-timeout")
                .map_or(0, |v| i64::try_from(interval(v) / 1_000).unwrap_or(i64::MAX)),
            multiple: match get("multiple-active").unwrap_or_default() {
                "stop_only" => MultipleActive::StopOnly,
                "block" => MultipleActive::Block,
                "stop_unexpected" => MultipleActive::StopUnexpected,
                _ => MultipleActive::StopStart,
            },
            running_on: Vec::new(),
            known_on: vec![false; nodes],
            allowed: Table::new(nodes),
            assigned: None,
            actions: Vec::new(),
            with_others: Vec::new(),
            others_with: Vec::new(),
            locations: Vec::new(),
            tickets: Vec::new(),
            utilization: BTreeMap::new(),
            sort_index: 0,
            clone: CloneData::default(),
            provisional: true,
            placing: false,
            merging: false,
            managed: managed && !maintenance,
            blocked: false,
            maintenance,
            failed: false,
            needs_stop: false,
            failure_ignored: false,
            orphan: false,
            unique: true,
            promotable: false,
            notify: is_true(get("notify")),
            critical: get("critical").is_none_or(|v| is_true(Some(v))),
            allow_migrate: is_true(get("allow-migrate")),
            fence_device,
            needs_fencing: false,
            needs_quorum: false,
            start_pending: false,
            reload: false,
            restarting: false,
            stop_unexpected: false,
            ordered: kind == Kind::Group && get("ordered").and_then(boolean) != Some(false),
            colocated: kind == Kind::Group && get("collocated").and_then(boolean) != Some(false),
            restart_type: get("restart-type").is_some_and(|v| v.eq_ignore_ascii_case("restart")),
            exclusive_discovery: false,
            pending: None,
            dangling: Vec::new(),
            migrating_from: None,
            migrating_to: None,
            locked_to: None,
            container: None,
            fillers: Vec::new(),
            connection: super::remote::is_connection(&xml),
            reconnect: 0,
            orphan_filler: false,
            nested: false,
            bundle: None,
            meta: BTreeMap::new(),
            xml: xml.clone(),
        };
        self.requires(&mut rsc, get("requires"));
        rsc.meta = meta;
        if let Some(n) = instance {
            rsc.meta.entry("clone".into()).or_insert_with(|| n.to_string());
        }
        let guest = rsc.connection && rsc.meta.contains_key("container");
        if rsc.connection && !guest && !rsc.meta.contains_key("allow-migrate") {
            rsc.allow_migrate = true;
        }
        let remote = rsc.connection && !guest;
        self.rscs.push(rsc);
        if remote {
            self.read_reconnect(r);
        }
        if self.rscs[self.outermost(r)].kind == Kind::Clone {
            let meta = &self.rscs[r].meta;
            let unique = is_true(meta.get("globally-unique").map(String::as_str));
            let promotable = is_true(meta.get("promotable").map(String::as_str)) || xml.name == "master";
            self.rscs[r].unique = unique;
            self.rscs[r].promotable = promotable;
            if xml.name == "master" {
                self.rscs[r].meta.entry("promotable".into()).or_insert_with(|| "true".into());
            }
        }
        if let Some(role) = self.target_role(r) {
            self.rscs[r].next_role = role;
        }
        let well = match kind {
            Kind::Primitive => self.check_primitive(r),
            Kind::Group => self.unpack_members(r, instance)?,
            Kind::Clone => self.unpack_clone(r)?,
            Kind::Bundle => self.unpack_bundle(r)?,
        };
        if !well {
            return Ok(None);
        }
        if self.options.symmetric || guest {
            let cause = if self.options.symmetric { Cause::Symmetric } else { Cause::Connection };
            for n in (0..nodes).filter(|n| !self.nodes[*n].absent).collect::<Vec<_>>() {
                self.add_score(r, n, 0, &cause);
            }
        }
        let mut needs = BTreeMap::new();
        self.pairs(&xml, "utilization", About::default(), None, false, &mut needs);
        self.rscs[r].utilization = quantities(needs);
        Ok(Some(r))
    }

    fn requires(&mut self, rsc: &mut Rsc, value: Option<&str>) {
        let o = &self.options;
        let default = if rsc.fence_device || (rsc.kind == Kind::Primitive && rsc.connection) {
            "quorum"
        } else if o.fencing {
            "fencing"
        } else if o.no_quorum == QuorumPolicy::Ignore {
            "nothing"
        } else {
            "quorum"
        };
        match value.unwrap_or(default).to_ascii_lowercase().as_str() {
            "nothing" => {}
            "fencing" => rsc.needs_fencing = true,
            "unfencing" if rsc.fence_device || !o.fencing => rsc.needs_quorum = true,
            "unfencing" => rsc.needs_fencing = true,
            "quorum" => rsc.needs_quorum = true,
            _ if default == "fencing" => rsc.needs_fencing = true,
            _ if default == "quorum" => rsc.needs_quorum = true,
            _ => {}
        }
    }

    /// `target-role`, where it means something.
    pub(super) fn target_role(&mut self, r: RscIx) -> Option<Role> {
        let value = self.rscs[r].meta.get("target-role")?.clone();
        if value.eq_ignore_ascii_case("started") || value.eq_ignore_ascii_case("default") {
            return None;
        }
        let role = Role::of(&value).filter(|r| *r != Role::Unknown)?;
        let promotable = self.rscs[self.outermost(r)].promotable;
        match role {
            Role::Promoted => None,
            Role::Unpromoted => promotable.then_some(role),
            _ => Some(role),
        }
    }

    fn check_primitive(&mut self, r: RscIx) -> bool {
        let class = self.rscs[r].xml.get("class").unwrap_or_default().to_ascii_lowercase();
        let top = self.outermost(r);
        if self.rscs[top].kind != Kind::Clone {
            return true;
        }
        if self.rscs[r].unique && !matches!(class.as_str(), "ocf" | "stonith") {
            let nodes = self.present_nodes();
            let data = &mut self.rscs[top].clone;
            data.node_max = 1;
            data.max = data.max.min(nodes);
            self.forget_unique(top);
        }
        class == "ocf" || !self.rscs[top].promotable
    }

    fn forget_unique(&mut self, r: RscIx) {
        self.rscs[r].unique = false;
        self.rscs[r].meta.entry("globally-unique".into()).or_insert_with(|| "false".into());
        for c in self.rscs[r].children.clone() {
            self.forget_unique(c);
        }
        // What is being unpacked is not among the children yet.
        let last = self.rscs.len() - 1;
        if self.is_inside(last, r) {
            let mut at = last;
            while at != r {
                self.rscs[at].unique = false;
                match self.rscs[at].parent {
                    Some(p) => at = p,
                    None => break,
                }
            }
        }
    }

    fn unpack_members(&mut self, r: RscIx, instance: Option<i32>) -> Result<bool, XmlError> {
        let xml = self.rscs[r].xml.clone();
        for e in xml.all("primitive") {
            if let Some(m) = self.unpack(Arc::new(e.clone()), Some(r), instance)? {
                self.rscs[r].children.push(m);
            }
        }
        if self.rscs[r].children.is_empty() {
            self.warn(&xml, format!("group `{}` has no member", xml.id()));
        }
        Ok(true)
    }

    fn unpack_clone(&mut self, r: RscIx) -> Result<bool, XmlError> {
        let xml = self.rscs[r].xml.clone();
        let nodes = self.present_nodes();
        let rsc = &mut self.rscs[r];
        let meta = &rsc.meta;
        let count = |names: [&str; 2], default: i32| {
            names.iter().find_map(|n| meta.get(*n)).map_or(default, |v| at_least(v, 0))
        };
        let mut data = CloneData {
            max: count(["clone-max", "clone-max"], nodes.max(1)),
            node_max: count(["clone-node-max", "clone-node-max"], 1),
            promoted_max: if rsc.promotable { count(["promoted-max", "master-max"], 1) } else { 0 },
            promoted_node_max: if rsc.promotable {
                count(["promoted-node-max", "master-node-max"], 1)
            } else {
                0
            },
            ordered: is_true(meta.get("ordered").map(String::as_str)),
            child: xml
                .children
                .iter()
                .find(|c| c.name == "primitive" || c.name == "group")
                .map(|c| Arc::new(c.clone())),
            ..CloneData::default()
        };
        if !rsc.unique {
            data.node_max = data.node_max.min(1);
        }
        let (max, empty) = (data.max, data.child.is_none());
        rsc.clone = data;
        if empty {
            self.warn(&xml, format!("`{}` has nothing to clone", xml.id()));
            return Ok(false);
        }
        let unique = if rsc.unique { "true" } else { "false" };
        rsc.meta.entry("resource-stickiness".into()).or_insert_with(|| "1".into());
        rsc.meta.entry("globally-unique".into()).or_insert_with(|| unique.into());
        if max <= 0 {
            return Ok(self.new_instance(r)?.is_some());
        }
        let mut made = 0;
        while made < self.rscs[r].clone.max {
            if self.new_instance(r)?.is_none() {
                return Ok(false);
            }
            made += 1;
        }
        Ok(true)
    }

    /// Makes another instance of a clone; beyond `clone-max` it is an orphan.
    pub(super) fn new_instance(&mut self, clone: RscIx) -> Result<Option<RscIx>, XmlError> {
        let Some(child) = self.rscs[clone].clone.child.clone() else { return Ok(None) };
        let (total, max) = (self.rscs[clone].clone.total, self.rscs[clone].clone.max);
        let Some(r) = self.unpack(child, Some(clone), Some(total))? else { return Ok(None) };
        self.rscs[clone].clone.total += 1;
        self.rscs[clone].children.push(r);
        if total >= max {
            self.orphan(r);
        }
        Ok(Some(r))
    }

    fn orphan(&mut self, r: RscIx) {
        self.rscs[r].orphan = true;
        for c in self.rscs[r].children.clone() {
            self.orphan(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::natural;

    #[test]
    fn node_names_sort_by_their_numbers() {
        let mut names = ["n10", "N2", "n1", "alpha", "n02"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["alpha", "n1", "N2", "n02", "n10"]);
    }
}
