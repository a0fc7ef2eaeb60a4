//! Fencing: what makes sure that a node that cannot be asked does nothing any more.
//!
//! [`device`] is the thing that has the switch: a baseboard management controller (one a node), a power distribution unit or a network
//! switch (many ports), a process of its own on a host of its own. [`agent`] is the program that a fencer runs to make the device do
//! something (`fence_ipmilan`, `fence_apc`): a call that its owner keeps and feeds. [`msg`] is what they say to each other.
//!
//! Sources: fence agents' library `fencing.py.py` (`login_timeout` 5 s, `shell_timeout` 3 s, `power_timeout` 20 s, `power_wait` 0 s, off is
//! confirmed by asking for the status once a second); IPMI 2.0 section 28.3 (chassis control); Red Hat, *Configuring fencing*; ClusterLabs,
//! *Pacemaker Explained*, chapter "Fencing".
//!
//! **Not modelled:** credentials, several sessions of a BMC (the jobs of one port wait for each other), `cycle` as a command of its own (a
//! reboot is off and on, as the agents' default method is), the soft-off signal that a host's ACPI daemon can delay.

pub mod agent;
pub mod config;
pub mod device;
pub mod msg;
pub mod note;

pub use config::FenceDevice;
pub use device::Device;
