//! Hosts: the processes that share a store.

use uuid::Uuid;

/// Identifies a host from its start to its end. It is made up at random.
pub type HostId = Uuid;
