"""The credit bureau: a simulation of it, and what keeps an outage of it from spreading."""
