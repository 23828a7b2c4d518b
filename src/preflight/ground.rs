//! What a plan becomes on this machine: CPUs, descriptors, addresses, ports.

use super::checks::{Check, Need, examine};
use super::cpus::{Cpus, Placement};
use super::host::HostFacts;
use super::{addresses, descriptors, resolve};
use crate::engine::connection::Route;
use crate::engine::driver::Engine;
use crate::engine::driver::uring::Unavailable;
use crate::engine::ports::{self, PortSpace, Ports};
use crate::engine::run::Load;
use crate::engine::run::answer::AddressAnswer;
use crate::kernel::{self, Address};
use crate::plan::{Endpoint, Plan};
use std::error::Error;
use std::net::IpAddr;

/// The machine, as a plan finds it.
#[derive(Debug)]
pub(crate) struct Ground {
    /// The I/O engine of the run.
    pub engine: Engine,
    /// Why that is not the ring, although it was preferred.
    pub no_ring: Option<Unavailable>,
    pub cpus: Cpus,
    pub placement: Placement,
    /// Descriptors that this process may have; the soft limit is raised by then.
    pub descriptors: u64,
}

impl Ground {
    /// Finds a driver, shares out the processors and raises the limit of descriptors.
    ///
    /// # Errors
    /// A listed CPU that this process may not use; a ring that was asked for and cannot be used.
    pub(crate) fn survey(plan: &Plan) -> Result<Ground, Box<dyn Error>> {
        let cpus = Cpus::detect();
        let bundled = plan.endpoint.is_none();
        let placement = cpus.place(plan.threads, plan.connections, &plan.cpus, bundled)?;
        let descriptors = descriptors::raise_limit();
        let found = plan.engine.find(plan.ring_tier, placement.threads, plan.connections)?;
        let (engine, no_ring) = (found.engine, found.no_ring);
        Ok(Ground { engine, no_ring, cpus, placement, descriptors })
    }

    /// What the plan amounts to against an endpoint.
    ///
    /// # Errors
    /// A name without an address; a unix socket, source addresses or ports that cannot be used.
    pub(crate) fn load(&self, plan: &Plan, endpoint: &Endpoint) -> Result<Load, Box<dyn Error>> {
        let (addresses, ports) = match endpoint.socket {
            Some(_) => (addresses(endpoint)?, Ports::none()),
            None => from_ports(plan, endpoint)?,
        };
        Ok(Load {
            answers: vec![AddressAnswer::Unasked; addresses.len()],
            route: Route::new(addresses.len()),
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
            engine: self.engine,
        })
    }

    /// Whether the machine has room for a load.
    pub(crate) fn examine(&self, load: &Load, host: &HostFacts) -> Vec<Check> {
        let is_local = |address: &Address| address.inet().is_none_or(kernel::is_local);
        let local = load.addresses.iter().any(is_local);
        let need = Need { load, server_threads: self.placement.server_threads, local };
        examine(&need, host)
    }
}

/// The addresses that can be reached from the source addresses of the plan, and the ports towards
/// them.
fn from_ports(plan: &Plan, endpoint: &Endpoint) -> Result<(Vec<Address>, Ports), Box<dyn Error>> {
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
    Ok((addresses.into_iter().map(Address::from).collect(), ports))
}
