import { ITransport, json, segment } from './transport';

const LOGIN = 'login';

/** One field that the cluster asks for. */
export interface ILoginField {
  name: string;
  /** Whether what is typed must not be seen. */
  secret: boolean;
}

/** A login method of the cluster: `ask` has fields, `challenge` is answered by the Jupyter server's key pair. */
export interface ILoginMethod {
  name: string;
  kind: string;
  fields: ILoginField[];
}

/** How the connected cluster lets people in: by an identity provider, or by methods of its own. */
export interface ILogin {
  url: string;
  provider: string;
  methods: ILoginMethod[];
}

/** What a person needs to confirm a login elsewhere. */
export interface ILoginCode {
  id: string;
  code: string;
  url: string;
  /** A page that knows the code already; empty when there is none. */
  complete_url: string;
  expires_s: number;
}

/** Logging in to the connected cluster. Its token stays on the Jupyter server. */
export class LoginApi {
  constructor(private readonly transport: ITransport) {}

  async describe(signal?: AbortSignal): Promise<ILogin> {
    return json(this.transport, 'GET', LOGIN, { signal });
  }

  /** Log in with what a person typed; throws what the cluster says. */
  async answer(method: string, answers: Record<string, string>): Promise<void> {
    await json(this.transport, 'POST', LOGIN, { body: { method, answers } });
  }

  async begin(): Promise<ILoginCode> {
    return json(this.transport, 'POST', `${LOGIN}/codes`);
  }

  /** Whether a login is done; waits for that a while, and throws why it failed. */
  async isDone(id: string, signal?: AbortSignal): Promise<boolean> {
    const answer = await json<{ done: boolean }>(this.transport, 'GET', `${LOGIN}/codes/${segment(id)}`, {
      signal
    });
    return answer.done;
  }

  async giveUp(id: string): Promise<void> {
    await json(this.transport, 'DELETE', `${LOGIN}/codes/${segment(id)}`);
  }

  /** Forget each login to the connected cluster. */
  async logOut(): Promise<void> {
    await json(this.transport, 'DELETE', LOGIN);
  }
}
