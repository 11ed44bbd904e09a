import { ISocket, ITransport, segment } from '../api/transport';
import { ILogFrame } from '../api/types';
import { Backoff } from '../events/backoff';
import { LogBuffer } from './buffer';
import { DisplayFilter } from './displays';

export type LogState = 'connecting' | 'open' | 'waiting' | 'complete' | 'closed';

/**
 * Follows the output of a job into a buffer. Only close code 1000 says that the log is complete; after any other end it
 * is read again from the beginning, because logs have no position to go on from.
 */
export class LogStream {
  state: LogState = 'connecting';
  private socket: ISocket | null = null;
  private timer: number | null = null;
  private stale = false;
  private readonly displays = new DisplayFilter();
  private readonly backoff = new Backoff(500);

  constructor(
    private readonly transport: ITransport,
    private readonly job: string,
    readonly buffer: LogBuffer,
    private readonly changed: () => void,
    private readonly execution = '',
    private readonly version = 0
  ) {}

  open(): void {
    this.state = 'connecting';
    const socket = this.transport.socket(`api/v1/orchestrator/jobs/${segment(this.job)}/logs`, {
      follow: true,
      execution_id: this.execution,
      job_version: this.version || undefined
    });
    this.socket = socket;
    socket.onopen = () => {
      if (this.socket === socket) {
        this.state = 'open';
        this.changed();
      }
    };
    socket.onmessage = message => {
      if (this.socket === socket) {
        this.received(String(message.data));
      }
    };
    socket.onclose = ({ code }) => {
      if (this.socket === socket) {
        this.closed(code);
      }
    };
  }

  close(): void {
    const socket = this.socket;
    this.socket = null;
    this.state = 'closed';
    if (this.timer !== null) {
      window.clearTimeout(this.timer);
      this.timer = null;
    }
    socket?.close(1000);
  }

  private received(data: string): void {
    const frame = frameOf(data);
    if (frame === null) {
      return;
    }
    if (this.stale) {
      this.stale = false;
      this.buffer.clear();
      this.displays.clear();
    }
    this.backoff.reset();
    if (frame.error) {
      this.buffer.push(0, `${frame.error}\n`);
    } else if (typeof frame.value?.Line === 'string') {
      const stream = frame.value.Type ?? 1;
      const { Line: line } = frame.value;
      this.buffer.push(stream, stream === 1 ? this.displays.feed(line) : line);
    }
    this.changed();
  }

  private closed(code: number): void {
    this.socket = null;
    if (code === 1000) {
      this.state = 'complete';
    } else {
      this.state = 'waiting';
      this.stale = true;
      this.timer = window.setTimeout(() => {
        this.timer = null;
        this.open();
      }, this.backoff.next());
    }
    this.changed();
  }
}

function frameOf(data: string): ILogFrame | null {
  try {
    const parsed: unknown = JSON.parse(data);
    return typeof parsed === 'object' && parsed !== null ? parsed : null;
  } catch {
    return null;
  }
}
