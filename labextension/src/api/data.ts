import { ITransport, json } from './transport';
import { IDiskUsage, IKeptImage } from './types';

/** Something that can be an input: `URI` is what `-i` takes. */
export interface IDataEntry {
  Name: string;
  URI: string;
  Kind?: 'file' | 'directory';
  Size?: number;
  Writable?: boolean;
}

export interface IDataPage {
  URI?: string;
  Entries?: IDataEntry[] | null;
  /** Empty on the last page. */
  NextToken?: string;
}

const PAGE = 200;

/** What the connected node could read inputs from (feature `browse-data`). */
export class DataApi {
  constructor(private readonly transport: ITransport) {}

  /** One page of what lies at an address; of the places themselves where it is empty. */
  async list(uri: string, token = '', signal?: AbortSignal): Promise<IDataPage> {
    const query = { uri, limit: PAGE, next_token: token };
    return json(this.transport, 'GET', 'api/v1/compute/data', { query, signal });
  }
}

/** What the connected node keeps on its disk (feature `clean-up`). Both answer with what is gone. */
export class DiskApi {
  constructor(private readonly transport: ITransport) {}

  /** Remove results of finished jobs that are older than so many seconds. */
  async clearResults(olderThan: number): Promise<IDiskUsage> {
    return json(this.transport, 'DELETE', 'api/v1/compute/results', { query: { older_than: olderThan } });
  }

  /** Remove uploaded inputs that no job refers to. */
  async clearUploads(): Promise<IDiskUsage> {
    return json(this.transport, 'DELETE', 'api/v1/orchestrator/uploads');
  }

  /** Remove Python packages that no job uses. */
  async clearPackages(): Promise<IDiskUsage> {
    return json(this.transport, 'DELETE', 'api/v1/compute/packages');
  }

  /** The images that the node keeps itself, those that were used last first. */
  async images(): Promise<IKeptImage[]> {
    const answer = await json<{ Images?: IKeptImage[] }>(this.transport, 'GET', 'api/v1/compute/images');
    return answer.Images ?? [];
  }

  /** Remove one image that no job uses. */
  async removeImage(image: string): Promise<IDiskUsage> {
    return json(this.transport, 'POST', 'api/v1/compute/images/remove', { body: { Image: image } });
  }

  /** Remove the images that no job uses. */
  async clearImages(): Promise<IDiskUsage> {
    return json(this.transport, 'DELETE', 'api/v1/compute/images');
  }

  /** Remove the inputs that are kept to be shared between jobs. */
  async clearInputCache(): Promise<IDiskUsage> {
    return json(this.transport, 'DELETE', 'api/v1/compute/inputcache');
  }
}
