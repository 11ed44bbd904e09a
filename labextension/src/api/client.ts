import { AgentApi } from './agent';
import { ClusterApi } from './cluster';
import { ConnectionsApi } from './connections';
import { DataApi, DiskApi } from './data';
import { ResultFilesApi } from './files';
import { HostsApi } from './hosts';
import { JobsApi } from './jobs';
import { LoginApi } from './login';
import { NodesApi } from './nodes';
import { NotebooksApi } from './notebooks';
import { ResultsApi } from './results';
import { SubmissionsApi } from './submissions';
import { ITransport } from './transport';

/** Everything that can be asked. A new group of calls is a class in a file of its own, and a member here. */
export class Api {
  readonly jobs: JobsApi;
  readonly nodes: NodesApi;
  readonly hosts: HostsApi;
  readonly agent: AgentApi;
  readonly cluster: ClusterApi;
  readonly results: ResultsApi;
  readonly files: ResultFilesApi;
  readonly connections: ConnectionsApi;
  readonly login: LoginApi;
  readonly data: DataApi;
  readonly disk: DiskApi;
  readonly notebooks: NotebooksApi;
  readonly submissions: SubmissionsApi;

  constructor(readonly transport: ITransport) {
    this.jobs = new JobsApi(transport);
    this.nodes = new NodesApi(transport);
    this.hosts = new HostsApi(transport);
    this.agent = new AgentApi(transport);
    this.cluster = new ClusterApi(transport);
    this.results = new ResultsApi(transport, this.jobs);
    this.files = new ResultFilesApi(transport);
    this.connections = new ConnectionsApi(transport);
    this.login = new LoginApi(transport);
    this.data = new DataApi(transport);
    this.disk = new DiskApi(transport);
    this.notebooks = new NotebooksApi(transport);
    this.submissions = new SubmissionsApi(transport);
  }
}
