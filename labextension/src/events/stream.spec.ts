import { FakeTransport } from '../testing/transport';
import { Backoff } from './backoff';
import { EventStream, ITimers } from './stream';

const event = (seq: number): object => ({
  seq,
  time: '2026-01-01T00:00:00Z',
  topic: 'T',
  message: '',
  job: 'j-1'
});

class ManualTimers implements ITimers {
  readonly waiting = new Map<number, { callback: () => void; ms: number }>();
  private last = 0;

  set(callback: () => void, ms: number): number {
    this.last += 1;
    this.waiting.set(this.last, { callback, ms });
    return this.last;
  }

  clear(id: number): void {
    this.waiting.delete(id);
  }

  fire(): number {
    const [[id, { callback, ms }]] = [...this.waiting] as [[number, { callback: () => void; ms: number }]];
    this.waiting.delete(id);
    callback();
    return ms;
  }
}

describe('EventStream', () => {
  let transport: FakeTransport;
  let timers: ManualTimers;
  let now: number;
  let stream: EventStream;

  beforeEach(() => {
    transport = new FakeTransport();
    timers = new ManualTimers();
    now = 0;
    stream = new EventStream(transport, new Backoff(100, 1000, () => 1), timers, () => now);
  });

  it('is one stream for all listeners, and closed without any', () => {
    const first = stream.subscribe({});
    const second = stream.subscribe({});
    expect(transport.sockets.length).toBe(1);
    first();
    expect(transport.last.closed).toBe(false);
    second();
    expect(transport.last.closed).toBe(true);
    expect(stream.state).toBe('idle');
    expect(timers.waiting.size).toBe(0);
  });

  it('continues behind the last event after a lost connection, and waits longer after each failed attempt', () => {
    const opened: boolean[] = [];
    stream.subscribe({ opened: replayed => opened.push(replayed) });
    expect(transport.last.query).toEqual({});
    transport.last.open();
    transport.last.send(event(7));
    transport.last.send({ ...event(0), topic: 'Progress' });
    transport.last.end(1006);
    expect(timers.fire()).toBe(100);
    expect(transport.last.query).toEqual({ since: 7 });
    transport.last.end(1006);
    expect(timers.fire()).toBe(200);
    transport.last.end(1006);
    expect(timers.fire()).toBe(400);
    transport.last.open();
    expect(opened).toEqual([false, true]);
  });

  it('comes back at once when it fell behind', () => {
    stream.subscribe({});
    transport.last.end(1006);
    timers.fire();
    transport.last.open();
    transport.last.send(event(3));
    transport.last.end(1013);
    expect(timers.fire()).toBe(100);
    expect(transport.last.query).toEqual({ since: 3 });
  });

  it('ignores messages of an old socket, and messages that are not events', () => {
    const seen: number[] = [];
    const leave = stream.subscribe({ event: event => seen.push(event.seq) });
    const old = transport.last;
    old.open();
    leave();
    stream.subscribe({ event: event => seen.push(event.seq) });
    old.send(event(1));
    old.end(1006);
    transport.last.open();
    transport.last.send('no json');
    transport.last.send('null');
    transport.last.send(event(2));
    expect(seen).toEqual([2]);
    expect(transport.sockets.length).toBe(2);
  });

  it('does not replay hours', () => {
    const leave = stream.subscribe({});
    transport.last.open();
    transport.last.send(event(9));
    leave();
    now += 60 * 60 * 1000;
    stream.subscribe({});
    expect(transport.last.query).toEqual({});
  });

  it('tries at once when the network is back', () => {
    stream.subscribe({});
    transport.last.end(1006);
    stream.hurry();
    expect(transport.sockets.length).toBe(2);
    transport.last.open();
    expect(timers.waiting.size).toBe(0);
  });

  it('opens anew, behind the last event, when the network comes back under an open socket', () => {
    stream.subscribe({});
    transport.last.open();
    transport.last.send(event(4));
    const dead = transport.last;
    stream.wake();
    expect(dead.closed).toBe(true);
    expect(transport.last.query).toEqual({ since: 4 });
    expect(transport.sockets.length).toBe(2);
  });

  it('gives up a socket that neither opens nor fails', () => {
    const lost = jest.fn();
    stream.subscribe({ lost });
    expect(timers.fire()).toBe(30_000);
    expect(lost).toHaveBeenCalledTimes(1);
    expect(timers.fire()).toBe(100);
    expect(transport.sockets.length).toBe(2);
  });

  it('says that events may be missing when the numbers begin anew', () => {
    const opened: boolean[] = [];
    stream.subscribe({ opened: replayed => opened.push(replayed) });
    transport.last.open();
    transport.last.send(event(500));
    transport.last.end(1006);
    timers.fire();
    transport.last.open();
    transport.last.send(event(3));
    transport.last.send(event(4));
    expect(opened).toEqual([false, true, false]);
    transport.last.end(1006);
    timers.fire();
    expect(transport.last.query).toEqual({ since: 4 });
  });

  it('does not hammer a cluster that closes each stream as soon as it is open', () => {
    stream.subscribe({});
    const waits = [1013, 1013, 1013].map(code => {
      transport.last.open();
      transport.last.end(code);
      return timers.fire();
    });
    expect(waits).toEqual([100, 200, 400]);
  });
});
