%% gen_server:call: its round trip with one caller, and calls a second with eight.
-module(calls).
-export([run/0]).

-define(BATCHES, 31).
-define(CALLS, 20000).
-define(CALLERS, 8).

run() ->
    measure:use("v1"),
    {ok, Server} = ledger:start_link(10),
    %% The first ones warm up.
    repeat(Server, ?CALLS),
    Times = [timed(fun() -> repeat(Server, ?CALLS) end) / ?CALLS || _ <- lists:seq(1, ?BATCHES)],
    measure:line("call", measure:median(Times), "ns"),
    Rates = [?CALLERS * ?CALLS * 1.0e9 / timed(fun() -> callers(Server) end) || _ <- lists:seq(1, ?BATCHES div 2)],
    measure:line("crowd", measure:median(Rates), "1/s").

timed(Work) ->
    Begin = measure:now(),
    Work(),
    measure:now() - Begin.

callers(Server) ->
    Callers = [spawn_monitor(fun() -> repeat(Server, ?CALLS) end) || _ <- lists:seq(1, ?CALLERS)],
    [receive {'DOWN', Caller, process, Pid, normal} -> ok end || {Pid, Caller} <- Callers].

repeat(_Server, 0) -> ok;
repeat(Server, Calls) ->
    gen_server:call(Server, version),
    repeat(Server, Calls - 1).
