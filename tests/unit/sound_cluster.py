"""The settings of a cluster that has no problem, as the role image_cluster hands them to its filters."""

SETTINGS = {
    "vips": ["10.0.0.100"],
    "vip_routed": False,
    "ports": [80],
    "fwmark": 1,
    "scheduler": "wrr",
    "scheduler_flags": [],
    "persistence_timeout": 0,
    "forward": "dr",
    "nat_gateway": "",
    "director_mode": "static",
    "failover": "standard",
    "virtual_router_id": 51,
    "client_networks": [],
    "reader_networks": ["0.0.0.0/0"],
    "weights": {"image1": 2, "image2": 1},
}
