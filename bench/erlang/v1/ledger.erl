%% A map with as many entries as one likes, version 1: what `modules/ledger-1.0.0` is.
-module(ledger).
-behaviour(gen_server).
-vsn("1").
-export([start_link/1, key/1, init/1, handle_call/3, handle_cast/2, code_change/3]).

start_link(Entries) -> gen_server:start_link(?MODULE, Entries, []).

key(Id) -> list_to_binary(io_lib:format("key-~8..0w", [Id])).

init(Entries) -> {ok, {state, maps:from_list([{key(Id), entry(Id)} || Id <- lists:seq(1, Entries)])}}.

entry(Id) ->
    Name = <<"customer number ", (integer_to_binary(Id))/binary>>,
    {entry, Id, Name, Id rem 1000, Id * 0.25, Id rem 3 =:= 0}.

handle_call(version, _From, State) -> {reply, 1, State};
handle_call({touch, Key}, _From, {state, Entries}) ->
    #{Key := {entry, Id, Name, Quantity, Price, Active}} = Entries,
    Touched = {entry, Id, Name, Quantity + 1, Price, Active},
    {reply, Quantity + 1, {state, Entries#{Key := Touched}}}.

handle_cast(_, State) -> {noreply, State}.

code_change(_Old, State, _Extra) -> {ok, State}.
