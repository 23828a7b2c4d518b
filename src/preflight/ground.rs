//! What a plan becomes on this box: CPUs, descriptors, addresses, ports.

use super::checks::{Check, Need, examine};
use super::cpus::{Cpus, Placement};
use super::host::HostFacts;
use super::{Refusal, descriptors, resolve};
use crate::driver::uring::Features;
use crate::kernel;
use crate::plan::{Endpoint, Plan};
use crate::ports::{self, PortSpace, Ports};
use crate::run::Load;
use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

/// The box, as a plan finds it.
#[derive(Clone, Debug)]
pub struct Ground {
    /// What the ring can do.
    pub features: Features,
    /// The processors.
    pub cpus: Cpus,
    /// Who runs where.
    pub placement: Placement,
    /// Descriptors that this process may have; the soft limit is raised by then.
    pub descriptors: u64,
}

impl Ground {
    /// Shares out the processors and raises the limit of descriptors.
    ///
    /// # Errors
    /// A listed CPU that this process may not use.
    pub fn survey(plan: &Plan, features: Features) -> Result<Ground, Refusal> {
        let cpus = Cpus::detect();
        let bundled = plan.endpoint.is_none();
        let placement = cpus.place(plan.threads, plan.connections, &plan.cpus, bundled)?;
        Ok(Ground { features, cpus, placement, descriptors: descriptors::raise_limit() })
    }

    /// What the plan comes to against an endpoint.
    ///
    /// # Errors
    /// A name without an address; source addresses or ports that cannot be used.
    pub fn load(&self, plan: &Plan, endpoint: &Endpoint) -> Result<Load, Box<dyn Error>> {
        let given: Vec<IpAddr> = plan.source_ips.resolve()?;
        let addresses = ports::towards(resolve(endpoint)?, &given)?;
        let ports = Ports::decide(
            &plan.source_ports,
            given,
            &addresses,
            &plan.policy,
            plan.connections,
            &PortSpace::detect(),
        )?;
        Ok(Load {
            addresses,
            ports,
            connections: plan.connections,
            threads: self.placement.threads,
            cpus: self.placement.workers.clone(),
            model: plan.pacing.model(),
            warmup: plan.pacing.warmup,
            duration: plan.duration,
            requests: plan.requests,
            policy: plan.policy,
            socket_options: plan.socket_options(),
            receive_buffer_bytes: plan.receive_buffer_bytes(),
            features: self.features,
        })
    }

    /// Whether the box has room for it.
    pub fn examine(&self, plan: &Plan, load: &Load, host: &HostFacts) -> Vec<Check> {
        let local = load.addresses.iter().any(|&address| kernel::is_local(address));
        let need = Need {
            connections: load.connections,
            threads: load.threads,
            tier: self.features.tier,
            bundled: plan.endpoint.is_none(),
            local,
            // `resolve` refuses a name that has none.
            target: load.addresses[0],
            policy: &load.policy,
            duration: load.duration.map(|duration| duration + load.warmup),
            rate_per_s: plan.pacing.peak_rate_per_s(),
            think: plan.pacing.think.as_ref().map_or(Duration::ZERO, |think| *think.start()),
            connect_rate_per_s: plan.pacing.connect_rate_per_s,
            requests: load.requests,
            ports: &load.ports,
            receive_buffer_bytes: load.receive_buffer_bytes,
        };
        examine(&need, host)
    }
}
