-- What the engine does for a lane: each call is one function here, and happens at one moment. What each is to do is told by the tables of the
-- engine in memory, against which tests hold it; how values are packed, by packed.rs.
--
-- KEYS[1] is the lane's first key; the others begin as it does, so that a cluster keeps all of them in one place:
--   t  the term's number (n) and line (l), when it began (b), whether none was known where it did (f), the count of commits (c), when the journal
--      was last marked (m), how many have come (e), when a barrier was last answered (v), and when somebody was last served in terms before (r)
--   j  the journal: <commit>-1 -> version v, and of an object: name n, what the index has of it i, upload u, bytes b; of a renewal: name n,
--      version r, expiry e; of what has moved between engine and bucket: name n, version k, form f
--   i  the index: name -> packed
--   o:<name>  a version and its bytes
--   b:<upload>  bytes that were sent ahead of a commit, behind room for a version
--   u, w  what uploads became, and when that was told
--   d  when a name may be forgotten
--   k  commits by time, to cut the journal
--   a, s  members: to which line each has asserted, 0 as long as one has come and not asserted to any; and the last sign of life of who has been
--      one lately
--   q  what waits to be in the bucket below, or to be removed there, by when it was last looked at
--   z  who has claimed what of that: until when, which is the claim's number; until when the one before it of the same node stands, of which a
--      request may be under way; whether to put (p) or to remove (r) it; and the node
--   h  members: when each has come, and of whose coming it has been told; both counted in t (e)
local base = string.sub(KEYS[1], 1, -2)
local T, J, I, D = KEYS[1], base .. 'j', base .. 'i', base .. 'd'
local U, W, K, A, S, H = base .. 'u', base .. 'w', base .. 'k', base .. 'a', base .. 's', base .. 'h'
local Q, Z = base .. 'q', base .. 'z'
-- For so long removals, expired objects and what became of uploads are remembered; in milliseconds, as all times.
local REMEMBERED = 120000
local JOURNAL = 30000
-- A body outlives its object a little: who has just been told of it can still fetch it.
local GRACE = 5000
-- What nobody has the bytes of is not looked at for so long.
local AWAY = 120000
-- Who has given no sign of life for so long beside others is no member any more; one beside whom another process goes by its name, sooner. What
-- it commits is refused then, until it has come through the gate again.
local GONE = 5000
local REPLACED = 1500
-- Who has come, and told what it holds so lately, goes on with that.
local TELLING = 700
-- The sign of who is gone is kept for so long, for people.
local SHOWN = 60000

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local told = redis.call('HMGET', T, 'n', 'l', 'c', 'm', 'e', 'b', 'v', 'r', 'f')
local number, line, count = tonumber(told[1] or '0'), tonumber(told[2] or '0'), tonumber(told[3] or '0')
local marked, comings, began = tonumber(told[4] or '0'), tonumber(told[5] or '0'), math.min(tonumber(told[6] or '0'), now)
local served, before, first = tonumber(told[7] or '0'), tonumber(told[8] or '0'), told[9] or '0'

local function whole(value) return string.format('%.0f', value) end
local function version() return struct.pack('>I4I4I8', number, line, count) end
local function time(packed, at) return (struct.unpack('>I8', packed, at)) end

-- What stands in the index. Its form: 0 removed, 1 an object, 2 one without its bytes, and 4 more where the bucket has it so.
local function is_kept(packed) return string.byte(packed, 25) >= 4 end
local function form(packed) return string.byte(packed, 25) % 4 end
local function formed(packed, as, kept) return string.sub(packed, 1, 24) .. string.char(as + (kept and 4 or 0)) .. string.sub(packed, 26) end
local function is_object(packed) return form(packed) ~= 0 end
local function expiry(packed) return time(packed, 26) end
local function is_live(packed) return packed and is_object(packed) and now < expiry(packed) end

-- Appends to the journal, and cuts off what is old.
local function append(...)
  count = count + 1
  redis.call('XADD', J, whole(count) .. '-1', 'v', version(), ...)
  -- A clock that was set back, or another server's that is behind: what was marked by a later time is not waited for.
  if marked > now then redis.call('ZREMRANGEBYSCORE', K, '(' .. whole(now), '+inf') end
  if now - marked >= 1000 or marked > now then
    marked = now
    redis.call('ZADD', K, whole(now), whole(count))
    local old = redis.call('ZREVRANGEBYSCORE', K, whole(now - JOURNAL), '-inf', 'WITHSCORES', 'LIMIT', 0, 1)
    if old[1] then
      redis.call('XTRIM', J, 'MINID', old[1])
      redis.call('ZREMRANGEBYSCORE', K, '-inf', '(' .. old[2])
    end
  end
end

-- Keeps the term and the count. Always written, for WAIT after a call that wrote nothing returns at once.
local function keep()
  redis.call('HSET', T, 'n', whole(number), 'l', whole(line), 'c', whole(count), 'm', whole(marked), 'e', whole(comings), 'b', whole(began),
    'v', whole(served), 'r', whole(before), 'f', first)
end

-- Forgets what is due, so many at a time.
local function sweep(most)
  local names = redis.call('ZRANGEBYSCORE', D, '-inf', whole(now), 'LIMIT', 0, most)
  for _, name in ipairs(names) do
    local packed = redis.call('HGET', I, name)
    local waits = redis.call('ZSCORE', Q, name)
    if packed and (waits or (is_object(packed) and is_kept(packed))) then
      -- The bucket has to be rid of it first.
      if not waits then redis.call('ZADD', Q, whole(now), name) end
      redis.call('ZADD', D, whole(now + REMEMBERED), name)
    else
      redis.call('HDEL', I, name)
      redis.call('ZREM', D, name)
      redis.call('ZREM', Q, name)
      redis.call('HDEL', Z, name)
      redis.call('UNLINK', base .. 'o:' .. name)
    end
  end
  local uploads = redis.call('ZRANGEBYSCORE', W, '-inf', whole(now - REMEMBERED), 'LIMIT', 0, most)
  if #uploads > 0 then
    redis.call('HDEL', U, unpack(uploads))
    redis.call('ZREM', W, unpack(uploads))
  end
end

local function remember(upload, became)
  redis.call('HSET', U, upload, became)
  redis.call('ZADD', W, whole(now), upload)
end

-- Puts a version into the index; body, if it is there, goes with the journal.
local function store(name, packed, upload, body)
  redis.call('HSET', I, name, packed)
  local ended = is_object(packed) and expiry(packed) or time(packed, 17)
  redis.call('ZADD', D, whole(ended + REMEMBERED), name)
  local step = { 'n', name, 'i', packed }
  if upload then step[#step + 1] = 'u' step[#step + 1] = upload end
  if body then step[#step + 1] = 'b' step[#step + 1] = body end
  append(unpack(step))
end

-- Shows what has moved between engine and bucket.
local function move(name, packed)
  redis.call('HSET', I, name, packed)
  append('n', name, 'k', string.sub(packed, 1, 16), 'f', string.sub(packed, 25, 25))
end

local function keep_body(name, packed, body)
  redis.call('SET', base .. 'o:' .. name, string.sub(packed, 1, 16) .. body, 'PXAT', whole(expiry(packed) + GRACE))
end

-- When a member has come, and of which coming it has been told; of another release, which does not say: long ago, and of all.
local function heard(node)
  local packed = redis.call('HGET', H, node)
  if not packed then return 0, math.huge end
  local came, told = string.match(packed, '^(%d+) (%d+)$')
  return tonumber(came), tonumber(told)
end

-- A node has come and may have something to tell: whoever comes to the gate waits for it. Whether it was not known.
local function announce(node)
  if redis.call('HEXISTS', A, node) == 1 then return false end
  comings = comings + 1
  redis.call('HSET', A, node, '0')
  redis.call('HSET', S, node, whole(now))
  redis.call('HSET', H, node, whole(comings) .. ' 0')
  return true
end

local calls = {}

function calls.takeover(asked, known_number, known_line, known_count, floor, node, heard_at)
  asked, known_number, known_line, known_count, floor, heard_at =
    tonumber(asked), tonumber(known_number), tonumber(known_line), tonumber(known_count), tonumber(floor), tonumber(heard_at)
  local is_later = known_number > number or (known_number == number and known_line > line)
  -- One far below has begun without a floor: before there was a bucket.
  if asked ~= line or is_later or number * 2 < floor then
    first = number == 0 and '1' or '0'
    before = math.max(before, served)
    number, line, began = math.max(number, known_number, floor) + 1, asked, now
    count = math.max(count, known_count)
    append()
  elseif known_count > count then
    count = known_count
    append()
  end
  if heard_at < began then before = math.max(before, heard_at) end
  announce(node)
  return { version(), whole(began), whole(before), first }
end

-- Its arguments may be more than a function takes.
function calls.assert()
  local given, at = ARGV, 4
  if not announce(given[3]) then redis.call('HSET', S, given[3], whole(now)) end
  local overtaken = {}
  while given[at] do
    local name, packed, has_body, body, uploads = given[at], given[at + 1], given[at + 2], given[at + 3], tonumber(given[at + 4])
    local goes_below = given[at + 5] == '1'
    at = at + 6
    local became, is_otherwise, maker = {}, false, nil
    for _ = 1, uploads do
      local upload, made = given[at], given[at + 1]
      at = at + 2
      became[#became + 1] = { upload, 'd' .. made .. name }
      local known = redis.call('HGET', U, upload)
      if known and string.sub(known, 1, 17) ~= 'd' .. made then is_otherwise = true end
      if made == string.sub(packed, 1, 16) and not maker then maker = upload end
    end
    if is_otherwise then
      overtaken[#overtaken + 1] = name
    else
      local there = redis.call('HGET', I, name)
      local standing = there and string.sub(there, 1, 16)
      local own = string.sub(packed, 1, 16)
      if not standing or standing < own then
        redis.call('UNLINK', base .. 'o:' .. name)
        if is_object(packed) then packed = formed(packed, 2, is_kept(packed)) end
        store(name, packed, maker)
        if goes_below and not is_kept(packed) then redis.call('ZADD', Q, whole(now), name) end
        there = packed
      end
      if string.sub(there, 1, 16) == own and form(there) == 2 and is_kept(packed) and not is_kept(there) then
        there = formed(there, 2, true)
        move(name, there)
      end
      if string.sub(there, 1, 16) == own and has_body == '1' and form(there) == 2 then
        redis.call('HSET', I, name, formed(there, 1, is_kept(there)))
        keep_body(name, there, body)
      end
      if not standing or standing <= own then
        for _, one in ipairs(became) do
          if redis.call('HEXISTS', U, one[1]) == 0 then remember(one[1], one[2]) end
        end
      end
    end
  end
  return overtaken
end

-- A sign of life, by which it is told of all who have come. When it has come itself.
local function sign(node)
  local came = heard(node)
  if redis.call('HEXISTS', A, node) == 0 then
    comings = comings + 1
    came = comings
  end
  redis.call('HSET', A, node, whole(line))
  redis.call('HSET', S, node, whole(now))
  redis.call('HSET', H, node, whole(came) .. ' ' .. whole(comings))
  return came
end

-- Whoever has not been told that this one has come is shown as if it had asserted nothing: else a gate might open that does not wait for it.
function calls.gate(node)
  local came = sign(node)
  local shown, are_telling = redis.call('HGETALL', A), '0'
  for at = 1, #shown, 2 do
    local _, told = heard(shown[at])
    -- A sign that is still to come was given by another clock.
    local since = now - tonumber(redis.call('HGET', S, shown[at]) or '0')
    if shown[at + 1] ~= whole(line) and since >= 0 and since < TELLING then are_telling = '1' end
    if told < came then shown[at + 1] = '0' end
  end
  return { whole(count), are_telling, unpack(shown) }
end

local function is_member(node) return redis.call('HGET', A, node) == whole(line) end

-- Who asks and has come through the gate in this term has asserted to its primary.
function calls.barrier(node)
  if not is_member(node) then return nil end
  served = now
  sweep(256)
  sign(node)
  local name = string.match(node, '^(%S+) ')
  local signs = redis.call('HGETALL', S)
  for at = 1, #signs, 2 do
    local other, silent = signs[at], now - tonumber(signs[at + 1])
    -- By a clock that was ahead: from now on it counts.
    if silent < 0 then redis.call('HSET', S, other, whole(now)) end
    local is_replaced = name and silent > REPLACED and string.match(other, '^(%S+) ') == name
    if silent > GONE or is_replaced then
      redis.call('HDEL', A, other)
      redis.call('HDEL', H, other)
    end
    if silent > SHOWN or is_replaced then redis.call('HDEL', S, other) end
  end
  return { whole(count), unpack(redis.call('HGETALL', A)) }
end

-- how: n none, p put here, s sent ahead; travels: whether it goes with the journal. What was sent ahead may have been refused for want of room,
-- or be gone: then nothing is changed or remembered.
function calls.commit(node, upload, name, object, how, travels, body, goes_below, expected, ...)
  if not is_member(node) then return nil end
  sweep(4)
  local ahead = base .. 'b:' .. upload
  local known = redis.call('HGET', U, upload)
  if known then
    redis.call('UNLINK', ahead)
    return { string.sub(known, 1, 1), string.sub(known, 2, 17), whole(count) }
  end
  local there = redis.call('HGET', I, name)
  there = is_live(there) and there or nil
  local is_expected = expected == 'anything' or (expected == 'absence' and not there)
  if expected == 'one' and there then
    local tag = string.sub(there, 34, 49)
    for _, one in ipairs({ ... }) do is_expected = is_expected or one == tag end
  end
  if not is_expected or (object == '' and not there and goes_below ~= '1') then
    local verdict = is_expected and 'a' or 'u'
    redis.call('UNLINK', ahead)
    remember(upload, verdict .. string.rep('\0', 16) .. name)
    return { verdict, '', whole(count) }
  end
  -- Behind room for a version.
  if object ~= '' and how == 's' and redis.call('STRLEN', ahead) ~= 16 + time(object, 25) then
    redis.call('UNLINK', ahead)
    return { 'n', '', '0' }
  end
  local own = struct.pack('>I4I4I8', number, line, count + 1)
  local packed = own .. struct.pack('>I8', now) .. (object == '' and '\0' or '\1' .. object)
  if object == '' then
    redis.call('UNLINK', base .. 'o:' .. name)
  elseif how == 's' then
    redis.call('SETRANGE', ahead, 0, own)
    redis.call('RENAME', ahead, base .. 'o:' .. name)
    redis.call('PEXPIREAT', base .. 'o:' .. name, whole(expiry(packed) + GRACE))
  else
    keep_body(name, packed, body)
  end
  store(name, packed, upload, travels == '1' and body or nil)
  if goes_below == '1' then redis.call('ZADD', Q, whole(now), name) end
  remember(upload, 'd' .. own .. name)
  return { 'd', own, whole(count) }
end

function calls.renew()
  local given = ARGV
  for at = 3, #given, 3 do
    local name, own, until_then = given[at], given[at + 1], given[at + 2]
    local there = redis.call('HGET', I, name)
    if there and string.sub(there, 1, 16) == own and is_object(there) and expiry(there) < tonumber(until_then) then
      local packed = string.sub(there, 1, 25) .. struct.pack('>I8', tonumber(until_then)) .. string.sub(there, 34)
      redis.call('HSET', I, name, packed)
      redis.call('ZADD', D, whole(tonumber(until_then) + REMEMBERED), name)
      redis.call('PEXPIREAT', base .. 'o:' .. name, whole(tonumber(until_then) + GRACE))
      -- There it is to live longer, too.
      if is_kept(there) then redis.call('ZADD', Q, whole(now), name) end
      append('n', name, 'r', own, 'e', struct.pack('>I8', tonumber(until_then)))
    end
  end
  return { whole(count) }
end

local function held(name)
  local until_then, before, kind, node = string.match(redis.call('HGET', Z, name) or '', '^(%d+) (%d+) (%a) (.*)$')
  return tonumber(until_then or '0'), tonumber(before or '0'), kind, node
end

local function hold(name, until_then, before, kind, node)
  redis.call('HSET', Z, name, whole(until_then) .. ' ' .. whole(before) .. ' ' .. kind .. ' ' .. node)
end

-- Who claims may put, or remove, what stands: nobody else does meanwhile. A node may go on with what it has claimed, and not do the other thing
-- while a request of its own may be under way.
local function claim(node, name, claimed, put_after, removed_after)
  local packed = redis.call('ZSCORE', Q, name) and redis.call('HGET', I, name)
  if not packed then return nil end
  local kind = is_live(packed) and 'p' or 'r'
  if now < began + (kind == 'p' and put_after or removed_after) then return nil end
  local before, _, as, by = held(name)
  local number = now + claimed
  if before > now then
    if by ~= node or as ~= kind then return nil end
    number = math.max(number, before + 1)
  else
    before = 0
  end
  hold(name, number, before, kind, node)
  redis.call('ZADD', Q, whole(now), name)
  return packed, number
end

function calls.claim(node, claimed, orphaned, put_after, removed_after, orphans, ...)
  if not is_member(node) then return nil end
  claimed, put_after, removed_after = tonumber(claimed), tonumber(put_after), tonumber(removed_after)
  local old = redis.call('ZRANGEBYSCORE', Q, '-inf', whole(now - tonumber(orphaned)), 'LIMIT', 0, orphans)
  local granted, has = { whole(count) }, {}
  for _, names in ipairs({ { ... }, old }) do
    for _, name in ipairs(names) do
      local packed, number
      if not has[name] then packed, number = claim(node, name, claimed, put_after, removed_after) end
      if packed then
        has[name] = true
        granted[#granted + 1] = name
        granted[#granted + 1] = packed
        granted[#granted + 1] = whole(number)
      end
    end
  end
  return granted
end

-- how: p put, which lives until expires; r removed; f failed; m its bytes are missing; u never. What is over frees the name as far as its claim is the node's only one:
-- where that has claimed anew after it had failed, until what it sent before is over, too.
function calls.settle(node, name, own, number, how, expires)
  if not is_member(node) then return nil end
  local until_then, before, kind, by = held(name)
  number = tonumber(number)
  if until_then <= now or by ~= node or number <= now or number > until_then then return { whole(count) } end
  if how == 'f' or how == 'm' then
    local there = redis.call('ZSCORE', Q, name) and redis.call('HGET', I, name)
    local is_missing = how == 'm' and there and string.sub(there, 1, 16) == own
    if there then redis.call('ZADD', Q, whole(is_missing and now + AWAY or now), name) end
    return { whole(count) }
  end
  if number == until_then then
    if before > now then hold(name, before, 0, kind, node) else redis.call('HDEL', Z, name) end
  end
  local there = redis.call('HGET', I, name)
  if not there or string.sub(there, 1, 16) ~= own then return { whole(count) } end
  if how == 'u' then
    redis.call('ZREM', Q, name)
  elseif how == 'p' and is_object(there) and expiry(there) <= tonumber(expires) then
    if is_live(there) then redis.call('ZREM', Q, name) end
    if not is_kept(there) then move(name, formed(there, form(there), true)) end
  elseif how == 'r' and not is_live(there) then
    redis.call('ZREM', Q, name)
    -- Of what has expired nothing is there any more.
    move(name, formed(there, form(there), not is_object(there)))
  end
  return { whole(count) }
end

function calls.evict()
  local given, gone = ARGV, { '' }
  for at = 3, #given, 2 do
    local name, own = given[at], given[at + 1]
    local there = redis.call('HGET', I, name)
    if there and string.sub(there, 1, 16) == own and is_kept(there) and form(there) == 1 then
      redis.call('UNLINK', base .. 'o:' .. name)
      move(name, formed(there, 2, true))
      gone[#gone + 1] = name
    end
  end
  gone[1] = whole(count)
  return gone
end

-- What was committed before there was a bucket has a term far below those of what an earlier engine has left there. Of these the later one
-- counts, as long as the bucket does not have it.
local function outlasts(there, packed)
  local is_before = struct.unpack('>I4', there) * 2 < struct.unpack('>I4', packed)
  return is_before and not is_kept(there) and time(there, 17) > time(packed, 17)
end

-- What is newer than all that this primary has ordered is refused: a term has to begin beyond it.
function calls.fill()
  local given = ARGV
  for at = 3, #given, 2 do
    if string.sub(given[at + 1], 1, 16) > version() then return nil end
  end
  for at = 3, #given, 2 do
    local name, packed = given[at], given[at + 1]
    local there = redis.call('HGET', I, name)
    if not there or (string.sub(there, 1, 16) < string.sub(packed, 1, 16) and not outlasts(there, packed)) then
      redis.call('UNLINK', base .. 'o:' .. name)
      store(name, packed)
    elseif string.sub(there, 1, 16) == string.sub(packed, 1, 16) and form(there) == 2 and not is_kept(there) then
      move(name, formed(there, 2, true))
    end
  end
  return { whole(count) }
end

-- Only reads.
function calls.read(known_version, known_count)
  if version() ~= known_version then
    local at = redis.call('XRANGE', J, known_count .. '-1', known_count .. '-1')
    if not at[1] or at[1][2][2] ~= known_version then return { 'no such place' } end
  end
  return { 'steps', redis.call('XRANGE', J, '(' .. known_count .. '-1', '+') }
end

local call, term = ARGV[1], ARGV[2]
if term ~= '' and term ~= string.sub(version(), 1, 8) then
  if call ~= 'read' then keep() end
  return { whole(now), 'other term' }
end
local reply
if call == 'assert' or call == 'renew' or call == 'evict' or call == 'fill' then reply = calls[call]() else reply = calls[call](unpack(ARGV, 3)) end
if call ~= 'read' then keep() end
if not reply then return { whole(now), 'other term' } end
return { whole(now), 'done', reply }
