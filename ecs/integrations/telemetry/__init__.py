"""How this process is watched: measures for Prometheus, traces and errors for whoever collects."""
