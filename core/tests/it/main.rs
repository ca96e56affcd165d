//! Black-box tests of the gateway: a real socket, a real store in a temporary folder, mock providers, HTTP only.
#![expect(unreachable_pub, reason = "the modules of one test binary share helpers; nothing is exported")]

#[cfg(test)]
mod addresses;
#[cfg(test)]
mod architecture;
#[cfg(test)]
mod aside;
#[cfg(test)]
mod cache;
#[cfg(test)]
mod care;
#[cfg(test)]
mod carry;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod counts;
#[cfg(test)]
mod dify;
#[cfg(test)]
mod doors;
#[cfg(test)]
mod echo;
#[cfg(test)]
mod errands;
#[cfg(test)]
mod explain;
#[cfg(test)]
mod failover;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod large;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod overrides;
#[cfg(test)]
mod passthrough;
#[cfg(test)]
mod pins;
#[cfg(test)]
mod prices;
#[cfg(test)]
mod quota;
#[cfg(test)]
mod records;
#[cfg(test)]
mod routing;
#[cfg(test)]
mod scale;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod stored;
#[cfg(test)]
mod support;
#[cfg(test)]
mod thinking;
#[cfg(test)]
mod tools;
#[cfg(test)]
mod watching;
