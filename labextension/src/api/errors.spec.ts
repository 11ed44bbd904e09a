import { ApiError, asApiError, errorOf } from './errors';

describe('errorOf', () => {
  it.each([
    [500, '', 'api', 'HTTP 500'],
    [502, '<html>bad gateway</html>', 'api', 'HTTP 502'],
    [400, 'null', 'api', 'HTTP 400'],
    [400, '[]', 'api', 'HTTP 400'],
    [400, '"text"', 'api', 'HTTP 400'],
    [400, '{"Message":""}', 'api', 'HTTP 400'],
    [400, '{"Message":"no such engine"}', 'api', 'no such engine'],
    [400, '{"message":"of Jupyter"}', 'api', 'of Jupyter'],
    [401, '', 'auth', 'not allowed (HTTP 401)'],
    [403, '{"message":"Forbidden"}', 'auth', 'Forbidden'],
    [404, '{"Message":"no such job"}', 'api', 'no such job'],
    [404, '{"message":"Not Found"}', 'extension', 'the Jupyter server has no Bacalhau extension'],
    [404, '<html>', 'extension', 'the Jupyter server has no Bacalhau extension']
  ])('reads %d %s as an error of the kind %s', (status, body, kind, message) => {
    expect(errorOf(status, body)).toMatchObject({ kind, message, status });
  });

  it('says who lacks which capability', () => {
    const reason = "user 'ron' does not have the required capability 'write:job'";
    const official = 'Check if user have access to this resource. Event has been recorded.';
    const body = {
      Message: 'Request Forbidden',
      Component: 'Authorizer',
      Hint: official,
      Details: { reason }
    };
    const hint = 'The administrator of the node grants capabilities.';
    expect(errorOf(403, JSON.stringify(body))).toMatchObject({ kind: 'auth', message: reason, hint });
    expect(errorOf(401, JSON.stringify(body))).toMatchObject({ message: reason, hint: official });
    expect(errorOf(403, JSON.stringify({ ...body, Details: null })).message).toBe('Request Forbidden');
  });

  it('keeps code, component and hint', () => {
    const body = JSON.stringify({ Message: 'm', Code: 'c', Component: 'p', Hint: 'h' });
    expect(errorOf(400, body)).toMatchObject({ code: 'c', component: 'p', hint: 'h' });
  });

  it.each([
    '{"Message":{"a":1}}',
    '{"Message":7,"Hint":["x"]}',
    '{"Message":true,"Code":{},"Hint":null,"Component":7}'
  ])('survives members of the wrong type in %s', body => {
    const error = errorOf(400, body);
    expect([typeof error.message, typeof error.hint, typeof error.code]).toEqual([
      'string',
      'string',
      'string'
    ]);
  });

  it('spells out what can not be seen', () =>
    expect(errorOf(400, '{"Message":"a\\u202eb","Hint":"\\u001b[31m"}')).toMatchObject({
      message: 'a\\u202eb',
      hint: '\\x1b[31m'
    }));
});

describe('asApiError', () => {
  it('keeps an ApiError as it is', () => {
    const error = new ApiError('x', 'auth', 401);
    expect(asApiError(error)).toBe(error);
  });

  it.each([
    [new TypeError('failed'), 'failed'],
    ['text', 'text'],
    [null, 'null'],
    [undefined, 'undefined']
  ])('puts %p into words', (reason, message) =>
    expect(asApiError(reason)).toMatchObject({ message, kind: 'network', status: 0 })
  );
});
