pub mod client;
pub mod haproxy;
pub mod vrrp;
