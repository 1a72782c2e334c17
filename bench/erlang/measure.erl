%% What all programs here use: the clock, medians, lines for `bench/compare`, and a client that calls all the time.
-module(measure).
-export([now/0, median/1, line/3, client/1, stop/1, longest/3, use/1, code/1, load/1]).

%% Calls that took less are not kept: a list of all would make the client's own garbage collection what is measured.
-define(KEPT, 10000).

now() -> erlang:monotonic_time(nanosecond).

median(Values) -> lists:nth(length(Values) div 2 + 1, lists:sort(Values)).

%% `name value unit`
line(Name, Value, Unit) -> io:format("erlang.~s ~w ~s~n", [Name, Value, Unit]).

%% Calls what `Next` does, again and again, until it is stopped.
client(Next) ->
    Owner = self(),
    spawn_link(fun() -> client(Owner, Next, []) end).

client(Owner, Next, Calls) ->
    receive
        stop -> Owner ! {calls, self(), Calls}
    after 0 ->
        Begin = measure:now(),
        Next(),
        End = measure:now(),
        case End - Begin >= ?KEPT of
            true -> client(Owner, Next, [{Begin, End} | Calls]);
            false -> client(Owner, Next, Calls)
        end
    end.

stop(Client) ->
    Client ! stop,
    receive {calls, Client, Calls} -> Calls end.

%% The longest call that lies in a span or reaches into it, in nanoseconds.
longest(Calls, From, To) ->
    lists:max([?KEPT | [End - Begin || {Begin, End} <- Calls, End >= From, Begin =< To]]).

%% The compiled code of a version of `ledger`.
code(Version) ->
    File = filename:join([filename:dirname(code:which(?MODULE)), Version, "ledger.beam"]),
    {ok, Code} = file:read_file(File),
    {File, Code}.

load({File, Code}) ->
    code:purge(ledger),
    {module, ledger} = code:load_binary(ledger, File, Code).

use(Version) -> load(code(Version)).
