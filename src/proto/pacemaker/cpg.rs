//! What Pacemaker's daemons say to each other through Corosync's closed process groups. Corosync carries it and does not look inside.

/// The content of one message to a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Payload {
    /// A number that means something to the sender: tests of the transport.
    Blob(u64),
    /// Between Pacemaker's daemons.
    Crm(std::sync::Arc<crate::proto::crm::msg::Wire>),
}
