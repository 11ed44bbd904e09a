"""The engine: bids, finds and compiles modules, starts supervisors, and finds them again after a restart."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from typing import Literal

from bacalhau_jupyter.engines.network.rules import REJECT_NETWORK_KEY
from bacalhau_jupyter.engines.supervised import host
from bacalhau_jupyter.engines.supervised.executions import Executions
from bacalhau_jupyter.engines.supervised.launch import assemble
from bacalhau_jupyter.engines.supervised.state import About, State
from bacalhau_jupyter.engines.supervised.supervisor.plan import Plan
from bacalhau_jupyter.engines.wasm import bids, launch, runtime, trial
from bacalhau_jupyter.engines.wasm.compiled import Compiler
from bacalhau_jupyter.engines.wasm.linking import Linking, Program
from bacalhau_jupyter.engines.wasm.params import ENGINE_TYPE, WasmParams
from bacalhau_jupyter.lib import beneath
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.models.jobs.resources import GPU
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.contract import ACCEPTED, Availability, Bid, Progress, no_progress
from bacalhau_jupyter.plugins.engine import Outcome, RunRequest
from bacalhau_jupyter.plugins.inputs import check_inputs
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.transfer.core.reach import Reach

_WORKING: set[tuple[runtime.Runtime, launch.Confinement]] = set()
"""What has run a module in this process: of a devstack's many nodes only the first need to try."""


class WasmEngine:
    """Runs WebAssembly modules, each execution in a process of its own.

    Parameters
    ----------
    options
        The node's; state is kept in ``data_dir/wasm``, machine code in ``data_dir/wasm-code``.
    confinement
        What confines the processes; None: all that works here.
    reach
        Which addresses jobs with a network of type ``HTTP`` are let through to; None: those of the settings.

    Raises
    ------
    ModuleNotFoundError
        wasmtime is not installed.
    """

    type = ENGINE_TYPE
    needs_no_service: Literal[True] = True

    def __init__(
        self,
        options: PluginOptions,
        *,
        confinement: launch.Confinement | None = None,
        reach: Reach | None = None,
    ) -> None:
        self._options = options
        self._runtime = runtime.find()
        self._confinement = confinement or launch.confinement_here()
        self._executions = Executions(
            options, options.data_dir / "wasm", reach, plain=self._confinement.plain
        )
        self.compiler = Compiler(
            options.data_dir / "wasm-code",
            self._runtime,
            landlock_abi=self._confinement.landlock_abi,
            program=self._confinement.program(0 if host.is_root() else -1),
            plain=self._confinement.plain,
        )
        self._rejects_network = options.settings(REJECT_NETWORK_KEY) is True
        self._works = False

    @property
    def label(self) -> str:
        """What runs modules here, and how it is confined."""
        return f"wasmtime {self._runtime.version}, {self._confinement.words}"

    async def probe(self) -> Availability:
        """Find out whether a module runs here, by running one."""
        if os.name != "posix":
            return Availability(False, problem="wasm jobs need Linux or macOS")
        try:
            await asyncio.to_thread(self._executions.prepare_root)
            await asyncio.to_thread(self.compiler.prepare_root)
        except OSError as error:
            return Availability(False, problem=f"the wasm engine's directory can't be used: {error}")
        self._works = True
        tried = (self._runtime, self._confinement)
        if tried in _WORKING:
            return self._available()
        if problem := self._executions.lacking() or await trial.problem(
            self, self._options.data_dir / "wasm", self._options.node_id
        ):
            self._works = False
            return Availability(False, problem=f"no WebAssembly module can be run here: {problem}")
        _WORKING.add(tried)
        return self._available()

    def _available(self) -> Availability:
        limited = self._confinement.limited(self._executions.limited())
        return Availability(True, runtime=f"{self.label}, {limited}")

    async def bid(self, execution: Execution) -> Bid:
        if not self._works:
            return Bid(False, "this node can't run WebAssembly modules, so its wasm engine is off")
        try:
            bids.check(execution)
        except bids.Refused as reason:
            return Bid(False, f"this node {reason}")
        return ACCEPTED

    async def gpu_problem(self, gpu: GPU) -> str:
        """Say why a wasm job can't get this GPU: WebAssembly has no way to one."""
        return "WebAssembly modules can't use a GPU"

    # --- start and attach -----------------------------------------------------------------------------------------

    async def start(self, request: RunRequest, progress: Progress = no_progress) -> str:
        """Start the execution, or find it started already; return the runtime's name.

        Raises
        ------
        EngineError
            A module is missing or can't be compiled, or the supervisor could not be started.
        IOFailure
            The disk is full or a directory can't be used.
        """
        program = None
        params = WasmParams()
        if not await self._executions.has_started(request.execution.id):
            try:
                params = bids.check(request.execution)
            except bids.Refused as reason:
                raise EngineError(f"this node {reason}", fails_execution=True) from None
            request, program = await self._load(request, params, progress)
        return await self._executions.start(
            request, lambda state, user: self._plan(state, user, request, params, program)
        )

    async def _load(
        self, request: RunRequest, params: WasmParams, progress: Progress
    ) -> tuple[RunRequest, Program]:
        inputs = await asyncio.to_thread(check_inputs, request.inputs, "WASM", sockets=False)
        has_network = launch.has_network(request, rejects_network=self._rejects_network)
        linking = Linking(inputs, self.compiler, has_network=has_network, progress=progress)
        return dataclasses.replace(request, inputs=inputs), await linking.program(params)

    def _plan(
        self, state: State, user: int, request: RunRequest, params: WasmParams, program: Program | None
    ) -> Plan:
        if program is None:
            raise EngineError("the execution was removed while it was started", fails_execution=True)
        state.note(About(self.label, user, str(request.log_path), plain=self._confinement.plain))
        try:
            confined = launch.confine(
                launch.Launch(
                    request=request,
                    params=params,
                    program=program,
                    runtime=self._runtime,
                    confinement=self._confinement,
                    state=state,
                    user=user,
                    ours=self._options.data_dir,
                )
            )
        except beneath.Changed as error:
            raise EngineError(f"the inputs are not mounted: {error}", fails_execution=True) from None
        node_file = self._executions.node_file
        return assemble(
            request, state, node_file, confined, host_network=confined.work["http"] == launch.HOST
        )

    async def attach(self, request: RunRequest) -> bool:
        return await self._executions.attach(request)

    async def wait(self, execution_id: str) -> Outcome:
        return await self._executions.wait(execution_id)

    async def cancel(self, execution_id: str) -> None:
        await self._executions.cancel(execution_id)

    async def clean(self, execution_id: str) -> None:
        await self._executions.clean(execution_id)

    async def existing(self) -> list[str]:
        return await self._executions.existing()

    async def close(self) -> None:
        await self.compiler.close()
        await self._executions.close()
