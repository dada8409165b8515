import { SupermachineError } from "../errors/supermachine-error.ts";
import { invalidSnapshot, mismatchedSnapshot } from "./snapshot-error.ts";

/**
 * How one kind of component's state becomes bytes and comes back. The state is plain data; `parse` is the only way
 * back, so it checks everything: saved bytes are outside input.
 */
export interface StateCodec<State> {
  /** The kind of component: lower-case words with hyphens, such as "serial" or "virtio-transport". */
  readonly id: string;
  /** Of what `encode` writes. Counts up by one whenever that changes. */
  readonly version: number;
  /** From the oldest version that is still understood to the current one. */
  readonly migrations: readonly Migration[];
  encode(state: State): Uint8Array;
  /** Understands the current version alone, and throws for anything that `encode` does not produce. */
  parse(bytes: Uint8Array): State;
}

/** One step from a version to the next. */
export interface Migration {
  /** The version it starts from; it leads to the next. */
  readonly from: number;
  /** What changed then, and why. */
  readonly reason: string;
  up(bytes: Uint8Array): Uint8Array;
}

/** A component's saved state. */
export interface SavedComponent {
  /** The codec's id, followed by "/" and the instance where there are several: "serial", "vcpu/1". */
  readonly id: string;
  readonly version: number;
  readonly bytes: Uint8Array;
}

/** Saves one component; `instance` tells several of one kind apart. */
export function saveComponent<State>(
  codec: StateCodec<State>,
  state: State,
  { instance }: { readonly instance?: number | string } = {},
): SavedComponent {
  return { id: componentId(codec, instance), version: codec.version, bytes: codec.encode(state) };
}

/**
 * The state that a component saved, after every migration between its version and the codec's.
 *
 * @throws SupermachineError `SNAPSHOT_MISMATCH` for versions that the codec does not know, `SNAPSHOT_INVALID`.
 */
export function loadComponent<State>(
  codec: StateCodec<State>,
  { id, version, bytes }: SavedComponent,
): State {
  if (version > codec.version)
    throw mismatchedSnapshot(`its ${id} state has version ${version}, newer than ${codec.version}`);
  let current = bytes;
  try {
    for (let step = version; step < codec.version; step++) {
      const migration = codec.migrations.find(({ from }) => from === step);
      if (migration === undefined)
        throw mismatchedSnapshot(`its ${id} state has version ${version}, which is no longer understood`);
      current = migration.up(current);
    }
    return codec.parse(current);
  } catch (error) {
    if (error instanceof SupermachineError && error.code.startsWith("SNAPSHOT_")) throw error;
    throw invalidSnapshot(`its ${id} state is damaged`, error);
  }
}

/** The components of one snapshot, each to be loaded once; `finish` makes sure that none is left over. */
export class ComponentSet {
  readonly #left: Map<string, SavedComponent>;

  constructor(components: readonly SavedComponent[]) {
    this.#left = new Map(components.map((component) => [component.id, component]));
    if (this.#left.size !== components.length) throw invalidSnapshot("it has the state of a component twice");
  }

  /** Whether the component is there and not yet loaded. */
  has<State>(codec: StateCodec<State>, { instance }: { readonly instance?: number | string } = {}): boolean {
    return this.#left.has(componentId(codec, instance));
  }

  /** @throws SupermachineError `SNAPSHOT_INVALID`, also when it is missing, or `SNAPSHOT_MISMATCH`. */
  take<State>(codec: StateCodec<State>, { instance }: { readonly instance?: number | string } = {}): State {
    const id = componentId(codec, instance);
    const component = this.#left.get(id);
    if (component === undefined) throw invalidSnapshot(`it has no ${id} state`);
    this.#left.delete(id);
    return loadComponent(codec, component);
  }

  /** @throws SupermachineError `SNAPSHOT_MISMATCH` when the snapshot has state that nobody asked for. */
  finish(): void {
    const [unknown] = this.#left.keys();
    if (unknown !== undefined)
      throw mismatchedSnapshot(`it has ${unknown} state, which this machine has no use for`);
  }
}

/** Of a codec and an instance of its kind. */
function componentId<State>(codec: StateCodec<State>, instance: number | string | undefined): string {
  return instance === undefined ? codec.id : `${codec.id}/${instance}`;
}
