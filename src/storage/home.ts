import { homedir } from "node:os";
import { join } from "node:path";

/**
 * Where supermachine keeps things: `$SUPERMACHINE_HOME`, or `~/.supermachine`. All paths of the product are made
 * here, so that this file is the map of the folder.
 */
export class Home {
  readonly root: string;

  constructor(root: string = process.env["SUPERMACHINE_HOME"] ?? join(homedir(), ".supermachine")) {
    this.root = root;
  }

  /** Verified content by digest: `blobs/sha256/<hex>`. */
  get blobs(): string {
    return join(this.root, "blobs");
  }

  /** Blobs whose download was cut short, kept to be resumed: `partial/<hex>.<owner>`. */
  get partials(): string {
    return join(this.root, "partial");
  }

  /** Names of images, and what each resolves to. */
  get images(): string {
    return join(this.root, "images");
  }

  /** What the user says about registries: mirrors, and which may be spoken to without TLS. */
  get registrySettings(): string {
    return join(this.root, "registries.json");
  }

  /** EROFS images by content key. */
  get rootfs(): string {
    return join(this.root, "rootfs");
  }

  /** Unpacked guest kernels by release, and initramfs archives by content key. */
  get kernels(): string {
    return join(this.root, "kernels");
  }

  /** One folder per machine. */
  get machines(): string {
    return join(this.root, "machines");
  }

  /** Snapshots by content, their names and keys; see docs/snapshot-format.md. */
  get snapshots(): string {
    return join(this.root, "snapshots");
  }

  /** What V8 has compiled of the command line and of detached monitors. */
  get compiled(): string {
    return join(this.root, "compiled");
  }

  /** Which KVM was found usable, so that not every process has to try. */
  get usableKvm(): string {
    return join(this.root, "usable-kvm.json");
  }

  /** Unfinished files; anything here whose owner is dead may be deleted. */
  get temporary(): string {
    return join(this.root, "tmp");
  }
}
