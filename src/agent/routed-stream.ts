import type { Frame } from "./frames.ts";
import type { AgentLink, LinkStream, StreamListener } from "./link.ts";
import { FrameType } from "./protocol.ts";

/** Where a routed stream's frames go. */
export interface RoutedStreamTarget {
  frame(frame: Frame): void;
  lost(): void;
}

/** A stream of a router's client on the shared link. */
export class RoutedStream implements StreamListener {
  readonly upstream: LinkStream;
  #target: RoutedStreamTarget | undefined;
  /** The client has sent EOF. */
  inputEnded = false;

  constructor(link: AgentLink, request: Uint8Array, target: RoutedStreamTarget) {
    this.#target = target;
    this.upstream = link.open(request, this);
  }

  onFrame(frame: Frame): void {
    this.#target?.frame(frame);
  }

  onLost(): void {
    this.#target?.lost();
  }

  /** Its client is gone: the operation is cancelled, and what it still sends is dropped. */
  abandon(): void {
    this.#target = undefined;
    void this.upstream.send(FrameType.CANCEL, 0);
  }
}
