import { ITransport, json } from './transport';

/** What `POST bacalhau/notebooks` takes. */
export interface INotebookOrder {
  path: string;
  parameters: Record<string, unknown>;
  image: string;
  resources: { cpu: string; memory: string; gpu: string };
  timeout: number;
  pip: string[];
  requirements: string;
}

/** Notebooks of this Jupyter server as jobs. */
export class NotebooksApi {
  constructor(private readonly transport: ITransport) {}

  /** Submit a notebook; `copy` is where its executed copy will lie. */
  async submit(order: INotebookOrder): Promise<{ job_id: string; copy: string }> {
    return json(this.transport, 'POST', 'notebooks', { body: order });
  }
}
