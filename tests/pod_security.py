"""The restricted Pod Security Standard of Kubernetes, as far as our pods touch it."""

from collections.abc import Iterator
from typing import Any

_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}  # fmt: skip
_HOST = ("hostNetwork", "hostPID", "hostIPC")


def violations(pod: dict[str, Any]) -> Iterator[str]:
    """Yield what the standard refuses of the `spec` of a pod, and what we ask for beyond it."""
    security = pod.get("securityContext", {})
    if security.get("runAsNonRoot") is not True or not security.get("runAsUser"):
        yield "the pod may run as root"
    if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "the pod has no seccomp profile"
    if pod.get("automountServiceAccountToken") is not False:
        yield "the pod gets a token of the API server"
    yield from (f"the pod has {key}" for key in _HOST if pod.get(key))
    for volume in pod.get("volumes", []):
        if (set(volume) - {"name"}) - _VOLUMES:
            yield f"the volume {volume['name']} is of a forbidden type"
    for container in pod.get("initContainers", []) + pod["containers"]:
        yield from (f"{container['name']}: {problem}" for problem in _of_container(container))


def _of_container(container: dict[str, Any]) -> Iterator[str]:
    security = container.get("securityContext", {})
    if security.get("allowPrivilegeEscalation") is not False:
        yield "may gain privileges"
    if security.get("capabilities") != {"drop": ["ALL"]}:
        yield "keeps capabilities"
    if security.get("readOnlyRootFilesystem") is not True:
        yield "can write to its root"
    if security.get("privileged") or any("hostPort" in port for port in container.get("ports", [])):
        yield "is privileged or takes a port of the node"
    resources = container.get("resources", {})
    if "memory" not in resources.get("limits", {}) or {"cpu", "memory"} - set(resources.get("requests", {})):
        yield "has no requests or no limit of memory"
