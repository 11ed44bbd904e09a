import { asksForPorts, portLink, portText } from './ports';

const NODE = 'http://127.0.0.1:1234';

describe('a port in words', () => {
  it('shows where it listens, and the port inside where that is another one', () => {
    expect(portText({ Name: 'web', Static: 20000 })).toBe('web *:20000');
    expect(portText({ Name: 'web', Static: 20000, Target: 80, HostNetwork: '127.0.0.1' })).toBe(
      'web 127.0.0.1:20000 → 80'
    );
    expect(portText({ Name: 'web', Static: 20000, Target: 20000, HostNetwork: '::1' })).toBe(
      'web [::1]:20000'
    );
  });
});

describe('a link to a port', () => {
  it.each([
    ['localhost', { Name: 'web', Static: 20000, HostNetwork: '127.0.0.1' }, 'http://127.0.0.1:20000/'],
    ['localhost', { Name: 'web', Static: 20000, HostNetwork: '10.1.2.3' }, 'http://10.1.2.3:20000/']
  ])('leads from %s to where the port is reached', (page, port, link) => {
    expect(portLink(port, NODE, page)).toBe(link);
  });

  it.each([
    ['a port that does not speak HTTP', 'localhost', { Name: 'postgres', Static: 20000 }],
    ['no number', 'localhost', { Name: 'web' }],
    ['a number that is none', 'localhost', { Name: 'web', Static: 70000 }],
    ['an address that is none', 'localhost', { Name: 'web', Static: 20000, HostNetwork: 'evil.com/@' }],
    ['a script', 'localhost', { Name: 'web', Static: 20000, HostNetwork: 'javascript:alert(1)//' }],
    ['loopback seen from elsewhere', 'lab.org', { Name: 'web', Static: 20000, HostNetwork: '127.0.0.1' }]
  ])('is not offered for %s', (_, page, port) => {
    expect(portLink(port, NODE, page)).toBe('');
  });

  it.each([
    ['localhost', { Name: 'http', Static: 20000 }, 'http://127.0.0.1:20000/'],
    ['127.0.0.1', { Name: 'http', Static: 20000 }, 'http://localhost:20000/'],
    ['127.0.0.1', { Name: 'web', Static: 20000, HostNetwork: '127.0.0.1' }, 'http://localhost:20000/'],
    ['[::1]', { Name: 'https', Static: 20000, HostNetwork: '0:0:0:0:0:0:0:1' }, 'https://localhost:20000/'],
    ['lab.example.org', { Name: 'my_web', Static: 20000 }, ''],
    ['10.1.2.3', { Name: 'web', Static: 20000, HostNetwork: '10.1.2.3' }, '']
  ])('never leads from %s to the same host, whose cookies the job would get', (page, port, link) => {
    expect(portLink(port, NODE, page)).toBe(link);
  });

  it('leads to the cluster where that is another machine', () => {
    expect(portLink({ Name: 'web', Static: 20000 }, 'https://node.org:1234', 'localhost')).toBe(
      'http://node.org:20000/'
    );
  });
});

it('asks for ports where the spec names some', () => {
  expect(asksForPorts({ ID: 'j', Tasks: [{ Network: { Ports: [{ Name: 'web' }] } }] })).toBe(true);
  expect(asksForPorts({ ID: 'j', Tasks: [{ Network: { Type: 'Host' } }] })).toBe(false);
  expect(asksForPorts({ ID: 'j' })).toBe(false);
});
