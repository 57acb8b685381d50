"""Traffic of several processes while servers, connections and networks fail; docs/reliability.rst has the results."""
