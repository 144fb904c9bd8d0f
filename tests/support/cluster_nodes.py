"""Ray nodes on this machine, in a process of their own: Ray leaves files and children unclosed.

    python -m tests.support.cluster_nodes <nodes>

Prints the address of the cluster and the id of each node. Then answers lines on standard input:
``add`` with the id of a new node, ``kill <id>`` with ``killed``. Ends with its input.
"""

import sys
from typing import Any

from ray.cluster_utils import Cluster

NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80 * 2**20}


def main(num_nodes: int) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    try:
        nodes = [
            cluster.list_all_nodes()[0],  # type: ignore[no-untyped-call]
            *(cluster.add_node(**NODE) for _ in range(num_nodes - 1)),
        ]
        print(cluster.address, *(node.node_id for node in nodes), flush=True)
        for line in sys.stdin:
            verb, *given = line.split()
            if verb == "add":
                print(cluster.add_node(**NODE).node_id, flush=True)
            else:
                (node,) = [n for n in cluster.worker_nodes if n.node_id == given[0]]
                cluster.remove_node(node, allow_graceful=False)
                print("killed", flush=True)
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main(int(sys.argv[1]))
