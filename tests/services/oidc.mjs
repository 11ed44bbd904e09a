// An OpenID provider with the device flow, for tests: `node oidc.mjs SETTINGS` (JSON). It serves only this machine.
import { generateKeyPairSync } from 'node:crypto';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const settings = JSON.parse(process.argv[2]);
const entry = createRequire(`${settings.modules}/`).resolve('oidc-provider');
const { Provider } = await import(pathToFileURL(entry));

const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
const device = 'urn:ietf:params:oauth:grant-type:device_code';
const issuer = `http://127.0.0.1:${settings.port}`;

const provider = new Provider(issuer, {
  jwks: { keys: [{ ...key, kid: 'one', use: 'sig', alg: 'RS256' }] },
  clients: [
    {
      client_id: 'bacalhau-device',
      application_type: 'native',
      token_endpoint_auth_method: 'none',
      grant_types: [device],
      redirect_uris: [],
      response_types: []
    }
  ],
  cookies: { keys: ['test'] },
  scopes: ['openid', 'profile'],
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  extraTokenClaims: (_, token) => ({ permissions: settings.people[token.accountId] ?? [] }),
  ttl: { DeviceCode: 600, Session: 600, Interaction: 600, Grant: 600 },
  features: {
    devInteractions: { enabled: true },
    deviceFlow: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => settings.audience,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: 'openid profile api',
        audience: settings.audience,
        accessTokenFormat: 'jwt',
        accessTokenTTL: settings.ttl,
        jwt: { sign: { alg: 'RS256' } }
      })
    }
  }
});
provider.listen(settings.port, '127.0.0.1', () => console.log('ready'));
