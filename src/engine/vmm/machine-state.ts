import { type BalloonState, balloonStateCodec } from "../../devices/balloon/state.ts";
import { serialStateCodec } from "../../devices/serial/state.ts";
import { type VsockState, vsockStateCodec } from "../../devices/vsock/state.ts";
import type { BackendState } from "../../hypervisor/state.ts";
import { backendStateCodec } from "../../hypervisor/state-codec.ts";
import {
  ComponentSet,
  type SavedComponent,
  type StateCodec,
  saveComponent,
} from "../../snapshot/state-codec.ts";
import { type TransportState, transportStateCodec } from "../../virtio/transport-state.ts";
import type { BuiltMachine } from "./build-machine.ts";

/** Everything of a machine but its memory; plain data. */
export interface MachineState {
  readonly vm: BackendState;
  readonly vcpus: readonly BackendState[];
  /** By slot. */
  readonly transports: readonly TransportState[];
  readonly serial: Int32Array;
  readonly vsock: VsockState;
  readonly balloon: BalloonState;
}

const vmCodec = backendStateCodec("kvm", "vm");
const vcpuCodec = backendStateCodec("kvm", "vcpu");

/** Saves a machine whose vCPUs are paused, and whose devices are held. */
export function saveMachineState(built: BuiltMachine): SavedComponent[] {
  const vcpus = built.vcpus.map(({ index }) => built.vm.saveVcpu(index));
  const transports = built.slots.save();
  return [
    ...vcpus.map((state, instance) => saveComponent(vcpuCodec, state, { instance })),
    ...transports.map((state, instance) => saveComponent(transportStateCodec, state, { instance })),
    saveComponent(serialStateCodec, new Int32Array(built.serialState)),
    saveComponent(vsockStateCodec, built.vsock.save()),
    saveComponent(balloonStateCodec, built.balloon.save()),
    saveComponent(vmCodec, built.vm.save()),
  ];
}

/** The inverse, for a machine with as many vCPUs and devices; throws SNAPSHOT_INVALID or SNAPSHOT_MISMATCH. */
export function loadMachineState(
  components: readonly SavedComponent[],
  shape: { readonly cpus: number; readonly slots: number },
): MachineState {
  const set = new ComponentSet(components);
  const each = <State>(codec: StateCodec<State>, count: number): State[] =>
    Array.from({ length: count }, (_, instance) => set.take(codec, { instance }));
  const state = {
    vm: set.take(vmCodec),
    vcpus: each(vcpuCodec, shape.cpus),
    transports: each(transportStateCodec, shape.slots),
    serial: set.take(serialStateCodec),
    vsock: set.take(vsockStateCodec),
    balloon: set.take(balloonStateCodec),
  };
  set.finish();
  return state;
}
