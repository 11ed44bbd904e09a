/**
 * What the official API says on the wire, as far as the front end reads it. Every member may be missing: other
 * versions leave members out, so readers must not rely on more than the id.
 */

export type JobStateName =
  'Undefined' | 'Pending' | 'Queued' | 'Running' | 'Completed' | 'Failed' | 'Stopped';

export interface ISpecConfig {
  Type?: string;
  Params?: Record<string, unknown> | null;
}

export interface IResourcesConfig {
  CPU?: string;
  Memory?: string;
  Disk?: string;
  GPU?: string;
}

export interface ITask {
  Name?: string;
  Engine?: ISpecConfig;
  Publisher?: ISpecConfig;
  Resources?: IResourcesConfig;
  [member: string]: unknown;
}

/** Times are Unix nanoseconds: more digits than a JavaScript number holds exactly, enough for people. */
export interface IJob {
  ID: string;
  Name?: string;
  Namespace?: string;
  Type?: string;
  Priority?: number;
  Count?: number;
  Constraints?: unknown[];
  Meta?: Record<string, string>;
  Labels?: Record<string, string>;
  Tasks?: ITask[];
  State?: { StateType?: JobStateName; Message?: string; Details?: Record<string, string> };
  Version?: number;
  Revision?: number;
  CreateTime?: number;
  ModifyTime?: number;
}

/** Why a job waits, or how it came to run where it did (feature `explain`). */
export interface IExplanation {
  /** One sentence for people. */
  Summary?: string;
  /** Every node, the most suitable first. */
  Nodes?: INodeVerdict[] | null;
  /** What would make the job run, the simplest first. */
  Remedies?: { Text?: string }[] | null;
}

export interface INodeVerdict {
  NodeID?: string;
  Verdict?: string;
  Reason?: string;
}

export interface IExecution {
  ID: string;
  NodeID?: string;
  JobID?: string;
  JobVersion?: number;
  PartitionIndex?: number;
  DesiredState?: { StateType?: number; Message?: string };
  ComputeState?: { StateType?: number; Message?: string; Details?: Record<string, string> };
  PublishedResult?: ISpecConfig;
  RunOutput?: { ExitCode?: number; ErrorMsg?: string; Stdout?: string; stderr?: string } | null;
  Ports?: IPort[];
  CreateTime?: number;
  ModifyTime?: number;
}

/** A port of the node that is held for an execution (an addition of ours). */
export interface IPort {
  Name?: string;
  Static?: number;
  Target?: number;
  HostNetwork?: string;
}

export interface IHistoryItem {
  SeqNum?: number;
  Type?: 'JobLevel' | 'ExecutionLevel';
  JobID?: string;
  JobVersion?: number;
  ExecutionID?: string;
  Event?: { Message?: string; Topic?: string; Timestamp?: string; Details?: Record<string, string> };
  Time?: string;
}

export interface IResources {
  CPU?: number;
  Memory?: number;
  Disk?: number;
  GPU?: number;
  GPUs?: IGpu[];
}

/** One GPU; `Index` is its vendor's own count, `Memory` is in MiB. */
export interface IGpu {
  Index?: number;
  Name?: string;
  Vendor?: string;
  Memory?: number;
}

/** What is kept on a node's disk (an addition of ours). Sizes are in bytes; a limit of 0 means none. */
export interface IDiskUsage {
  Bytes?: number;
  Count?: number;
  Limit?: number;
}

/** An image that the connected node keeps itself. */
export interface IKeptImage {
  Names?: string[];
  ImageID: string;
  /** Bytes that it alone takes. */
  Size?: number;
  /** Executions that use it. */
  Holders?: string[];
}

export interface INodeInfo {
  NodeID: string;
  NodeType?: string;
  Labels?: Record<string, string>;
  ComputeNodeInfo?: {
    ExecutionEngines?: string[] | null;
    Publishers?: string[] | null;
    StorageSources?: string[] | null;
    MaxCapacity?: IResources;
    QueueCapacity?: IResources;
    AvailableCapacity?: IResources;
    MaxJobRequirements?: IResources;
    RunningExecutions?: number;
    EnqueuedExecutions?: number;
    EngineRuntimes?: Record<string, string>;
    EngineProblems?: Record<string, string>;
    GPUProblems?: Record<string, string>;
    Problems?: Record<string, string>;
    /** Why it takes nothing new at present, a sentence: a Docker host that is away, or paused. */
    Unavailable?: string;
    InputCache?: IDiskUsage;
    LocalResults?: IDiskUsage;
  };
  BacalhauVersion?: { GitVersion?: string; GOOS?: string; GOARCH?: string };
  /** What a client may rely on beyond the official API; absent from other people's nodes. */
  Features?: string[];
  JupyterVersion?: string;
  /** Inputs that clients sent ahead of their jobs. */
  Uploads?: IDiskUsage;
  /** Python packages that are kept for jobs. */
  Packages?: IDiskUsage;
  /** Images that the node keeps itself, without a Docker Engine. */
  Images?: IDiskUsage;
}

export interface INodeState {
  Info: INodeInfo;
  Membership?: 'UNKNOWN' | 'PENDING' | 'APPROVED' | 'REJECTED';
  Connection?: 'DISCONNECTED' | 'CONNECTED';
  ConnectionState?: {
    LastHeartbeat?: string;
    ConnectedSince?: string;
    DisconnectedSince?: string;
    LastError?: string;
  };
  /** How messages get to it (nodes of ours tell): `memory`, `nats`. */
  Link?: string;
  /** What the operator should know about it, a sentence each (nodes of ours tell). */
  Notices?: string[];
}

export interface IPage<T> {
  NextToken?: string;
  Items?: T[] | null;
}

/** One frame of the event stream (an addition of ours: lower case). `seq` 0 marks a passing event. */
export interface IStreamEvent {
  seq: number;
  time: string;
  topic: string;
  message: string;
  job: string;
  job_version?: number;
  execution?: string;
  node?: string;
  state?: JobStateName | '';
  details?: Record<string, string>;
}

/** One frame of a log stream. `type` 1 is stdout, 2 stderr; `Line` keeps its line end. */
export interface ILogFrame {
  error?: string;
  value?: { Type?: number; Line?: string };
}

/** `<base_url>bacalhau/status`. */
export interface IStatus {
  version: string;
  repo?: string;
  cluster: { url: string; source: string; embedded: boolean } | null;
  alive: boolean;
  node_version: string;
  active_jobs: number | null;
  problem: string;
  /** Whether the cluster answers, but does not accept the credential. */
  refused?: boolean;
}

export const EXECUTION_STATES = [
  'Undefined',
  'New',
  'AskForBid',
  'AskForBidAccepted',
  'AskForBidRejected',
  'BidAccepted',
  'Running',
  'Publishing',
  'BidRejected',
  'Completed',
  'Failed',
  'Cancelled'
] as const;

const OVER: ReadonlySet<string> = new Set(['Completed', 'Failed', 'Stopped']);

/** Whether nothing more happens to a job in this state. */
export function isOver(state: string | undefined): boolean {
  return state !== undefined && OVER.has(state);
}
