import { ITransport, json, segment } from './transport';
import { IResources } from './types';

/** How the way to a Docker host is; a newer node may know other words. */
export type HostState = 'Connecting' | 'Ready' | 'Unreachable' | 'Refused' | 'Paused' | 'Removing';

/** A container on a host that is none of the node's. */
export interface IHostUser {
  Name?: string;
  Image?: string;
  /** Whose node it belongs to, where it belongs to one: `user@machine`. */
  Owner?: string;
  Resources?: IResources;
}

/** What a host has, as it was seen the last time. */
export interface IHostFacts {
  Resources?: IResources;
  /** What others are known to hold of it. */
  Taken?: IResources;
  Others?: IHostUser[] | null;
  Machine?: string;
  OS?: string;
  Architecture?: string;
  Engine?: string;
  EngineID?: string;
  /** Below 0 where it is unknown. */
  Load?: number;
  FreeMemory?: number;
  GPUProblems?: Record<string, string>;
  SkewMs?: number;
  RoundTripMs?: number;
  Seen?: string;
}

/** One step of the way to a host; `Ok` is null where it was not tried, because an earlier one failed. */
export interface IHostStep {
  Name?: string;
  Ok?: boolean | null;
  Sentence?: string;
  Hint?: string;
}

export interface IHostTest {
  Ok?: boolean;
  Steps?: IHostStep[] | null;
  Facts?: IHostFacts | null;
  /** The key that it shows and that is not known yet: `SHA256:…`. */
  Fingerprint?: string;
}

export interface IHostRecord {
  Name: string;
  URL?: string;
  Context?: string;
  State?: string;
  Problem?: string;
  Hint?: string;
  Since?: string;
  Way?: string;
  NodeID?: string;
  Labels?: Record<string, string>;
  Capacity?: IResources;
  Free?: IResources;
  Executions?: number;
  /** What is being copied there now, in words. */
  Progress?: string;
  Facts?: IHostFacts | null;
}

/** An entry of the configuration of ssh, or a Docker context, that could be added. */
export interface IKnownPlace {
  Name: string;
  URL?: string;
  Description?: string;
  /** Where an entry leads, as far as the configuration says so. */
  Shown?: string;
}

export interface IHosts {
  Items?: IHostRecord[] | null;
  Contexts?: IKnownPlace[] | null;
  Aliases?: IKnownPlace[] | null;
  /** What is wrong in the file of hosts, a sentence each. */
  Problems?: string[] | null;
  File?: string;
}

/** What a person enters to add a host. */
export interface IAddHost {
  Name?: string;
  URL?: string;
  Context?: string;
  TLS?: { Ca: string; Cert: string; Key: string };
  Labels?: Record<string, string>;
  /** The fingerprint of the key that is accepted; no other one is. */
  Trust?: string;
  Anyway?: boolean;
}

export type Leaving = '' | 'wait' | 'cancel' | 'leave';

/** What one node has on a host. */
export interface IHostRemains {
  NodeID?: string;
  Owner?: string;
  Containers?: number;
  Running?: number;
  Volumes?: number;
  Last?: string;
  IsOwn?: boolean;
}

export interface IHostCleaning {
  Items?: IHostRemains[] | null;
  Removed?: string[] | null;
}

const HOSTS = 'api/v1/hosts';

/** Docker hosts elsewhere that are nodes of the connected one (feature `hosts`). */
export class HostsApi {
  constructor(private readonly transport: ITransport) {}

  async list(signal?: AbortSignal): Promise<IHosts> {
    return json(this.transport, 'GET', HOSTS, { signal });
  }

  /** Try a host that is not added; what fails is told in the answer's steps. */
  async tryOut(order: IAddHost, signal?: AbortSignal): Promise<IHostTest> {
    return json(this.transport, 'POST', `${HOSTS}/test`, { body: order, signal });
  }

  async add(order: IAddHost): Promise<IHostRecord> {
    return json(this.transport, 'POST', HOSTS, { body: order });
  }

  async test(name: string, signal?: AbortSignal): Promise<IHostTest> {
    return json(this.transport, 'POST', this.path(name, 'test'), { body: {}, signal });
  }

  /** Jobs that run there go on; new ones are not sent there until it is resumed. */
  async pause(name: string): Promise<void> {
    await json(this.transport, 'POST', this.path(name, 'pause'), { body: {} });
  }

  /** End what is copied there; nothing of it is left. */
  async stopPush(name: string): Promise<void> {
    await json(this.transport, 'POST', this.path(name, 'push/stop'), { body: {} });
  }

  async resume(name: string): Promise<void> {
    await json(this.transport, 'POST', this.path(name, 'resume'), { body: {} });
  }

  /** Try the way there at once, in place of at the next time that is due. */
  async retry(name: string): Promise<void> {
    await json(this.transport, 'POST', this.path(name, 'retry'), { body: {} });
  }

  /** With `''` it is refused (409) while jobs are there. */
  async remove(name: string, jobs: Leaving): Promise<void> {
    await json(this.transport, 'POST', this.path(name, 'remove'), { body: { Jobs: jobs } });
  }

  /** What nodes left there; the remains of the given ones are removed, with `force` also what runs. */
  async clean(
    name: string,
    remove: readonly string[],
    force = false,
    signal?: AbortSignal
  ): Promise<IHostCleaning> {
    const body = { Remove: remove, ...(force ? { Force: true } : {}) };
    return json(this.transport, 'POST', this.path(name, 'clean'), { body, signal });
  }

  private path(name: string, verb: string): string {
    return `${HOSTS}/${segment(name)}/${verb}`;
  }
}
